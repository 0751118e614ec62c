package jobs

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
)

// mayFallBack: where authSource is not set drivers take the URI's database, and the user may live in admin.
func (c connection) mayFallBack() bool {
	return !c.authSourceSet && c.user != "" && c.database != "admin"
}

// loggedIn returns the client to ask. As long as it is not known where the user lives, one operation at a time finds
// out: a refused login fails whatever else uses the pool, with errors that don't say why.
func (s *Store) loggedIn(ctx context.Context) (*mongo.Client, error) {
	if client, known := s.current(); known {
		return client, nil
	}
	select {
	case s.login <- struct{}{}:
		defer func() { <-s.login }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	client, known := s.current()
	if known {
		return client, nil
	}
	err := client.Ping(ctx, readpref.Primary())
	if isCode(err, codeAuthenticationFailed) {
		return s.fallBack(ctx, client)
	}
	if err != nil {
		return nil, err
	}
	return client, s.use(client)
}

// fallBack authenticates against admin from now on, where the official image's root user lives, since the URI's database
// has refused.
func (s *Store) fallBack(ctx context.Context, refused *mongo.Client) (*mongo.Client, error) {
	client, err := s.newClient("admin")
	if err != nil {
		return nil, err
	}
	// Only what admin has accepted is kept: the user may be created in the URI's database later.
	err = client.Ping(ctx, readpref.Primary())
	if err == nil {
		err = s.use(client)
	}
	if err != nil {
		_ = client.Disconnect(ctx) // it is of no more use, whatever it says
		return nil, err
	}
	s.logger.Warn("MongoDB refuses the user in the URI's database; authenticating against admin (set authSource=admin in MONGO_URI)",
		"user", s.uri.user, "database", s.uri.database)
	if err := refused.Disconnect(ctx); err != nil { // nothing else uses it
		s.logger.Debug("close the refused connection", "error", err)
	}
	return client, nil
}

func (s *Store) current() (client *mongo.Client, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client, s.known
}

// use makes a client the one to ask, unless the Store was closed meanwhile.
func (s *Store) use(client *mongo.Client) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return mongo.ErrClientDisconnected
	}
	s.client, s.known = client, true
	return nil
}
