package jobs

import (
	"errors"
	"fmt"
	"testing"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver"
)

// poolCleared is the driver's error of that kind, which it does not export.
type poolCleared struct{ error }

func (poolCleared) Retryable() bool { return true }

func TestAConnectionPoolThatWasClearedIsAnOutage(t *testing.T) {
	cleared := driver.Error{
		Message: "connection pool was cleared", Labels: []string{driver.TransientTransactionError},
		Wrapped: poolCleared{errors.New("connection pool was cleared")},
	}
	err := fmt.Errorf("mongodb: update: %w", mongo.CommandError{Message: cleared.Message, Labels: cleared.Labels, Wrapped: cleared})
	if !IsOutage(err) {
		t.Error("no outage")
	}
	if IsOutage(mongo.CommandError{Code: 2, Message: "bad value"}) {
		t.Error("an answer is an outage")
	}
}
