package mainserver

import (
	"errors"
	"fmt"

	"github.com/gvpocr/worker/test/mongotest"
)

type mongoService struct{ *mongotest.Server }

func (m mongoService) stop() error { return m.Close() }

func (s *Server) startMongoDB() (service, error) {
	cfg := s.cfg.Mongo
	if cfg.Dir == "" {
		var err error
		if cfg.Dir, err = s.dir(MongoDB); err != nil {
			return nil, err
		}
	}
	server, err := mongotest.Start(cfg)
	if err != nil {
		return nil, err
	}
	s.MongoURI, s.mongoAddrs = server.URI(), server.Addrs()
	// What it starts with again: clients know these.
	s.cfg.Mongo.Addr, s.cfg.Mongo.Members = server.Addr(), server.Members()
	return mongoService{server}, nil
}

// StepDown makes the primary of MongoDB's replica set a secondary; the set
// elects another one after its election time.
func (s *Server) StepDown() error {
	mongo, err := s.mongo()
	if err != nil {
		return err
	}
	return mongo.StepDown()
}

// KillPrimary cuts off the primary of MongoDB's replica set, as the death of
// its process does, and returns its name. The set elects another one after its
// election time; Revive brings it back.
func (s *Server) KillPrimary() (member string, err error) {
	mongo, err := s.mongo()
	if err != nil {
		return "", err
	}
	if mongo.Members() == nil {
		return "", errors.New("main server: mongodb is no replica set")
	}
	if member = mongo.Kill(); member == "" {
		return "", errors.New("main server: mongodb has no primary to kill")
	}
	return member, nil
}

// Revive starts the members again that KillPrimary has ended.
func (s *Server) Revive() error {
	mongo, err := s.mongo()
	if err != nil {
		return err
	}
	return mongo.Revive()
}

// mongo is the server that runs.
func (s *Server) mongo() (*mongotest.Server, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	running, ok := s.running[MongoDB].(mongoService)
	if !ok {
		return nil, fmt.Errorf("main server: %s does not run", MongoDB)
	}
	return running.Server, nil
}
