// Package containers_test runs the worker's image as it ships: workers in containers of their own network, and a main
// server in containers of another, as on the machines of today. The main server is stopped, frozen and moved, workers are
// killed and scaled, and each file of a job has to be counted once.
//
// Without a container engine the tests skip; REQUIRE_CONTAINERS=1 makes that a failure. MONGO_IMAGE=mongo:7.0 and
// NSQ_IMAGE=nsqio/nsq:v1.3.0 put the official images in the place of the main server's own parts.
package containers_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// Its reaper is one more image, and where no registry is reachable there is none. Each test cleans up after itself.
	os.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true")
	// A machine that is a container itself would be taken for one beside the tests' containers.
	os.Setenv("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1")
	goleak.VerifyTestMain(m,
		// The client of the engine, which lives as long as the tests do.
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// patience is how long a test waits for what has to happen, on a machine that is busy.
const patience = 2 * time.Minute

var engine = sync.OnceValues(func() (docker *testcontainers.DockerClient, err error) {
	defer func() {
		if r := recover(); r != nil { // testcontainers panics where it finds no socket
			err = fmt.Errorf("%v", r)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	docker, err = testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return nil, err
	}
	_, err = docker.Ping(ctx, client.PingOptions{})
	return docker, err
})

// needEngine skips the test where no container engine answers.
func needEngine(t *testing.T) *testcontainers.DockerClient {
	t.Helper()
	docker, err := engine()
	switch {
	case err == nil:
		return docker
	case os.Getenv("REQUIRE_CONTAINERS") == "1":
		t.Fatalf("no container engine answers, and REQUIRE_CONTAINERS=1 asks for one: %v", err)
	default:
		t.Skipf("No container engine such as Docker answers here, so nothing was run in containers: %v", err)
	}
	return nil
}

// eventually polls until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("this did not happen within %v: %s", patience, what)
		}
	}
}
