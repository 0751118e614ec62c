package jobs

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/mongo"
)

// Do runs an operation of its caller's on the job documents, as the Store's own are run: logged in where the user lives, within
// the same time-out, and with errors that IsOutage and IsTooLarge tell apart. what names it in errors.
func (s *Store) Do(ctx context.Context, what string, op func(ctx context.Context, c *mongo.Collection) error) error {
	return s.do(ctx, what, op)
}
