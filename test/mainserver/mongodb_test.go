package mainserver_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	"github.com/gvpocr/worker/test/mainserver"
	"github.com/gvpocr/worker/test/mongotest"
)

var program string // the main server's

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "mainserver")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program = filepath.Join(dir, "mainserver")
	if out, err := exec.Command("go", "build", "-o", program, "./cmd").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the main server: %v\n%s", err, out)
		os.RemoveAll(dir)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// process is a main server of its own.
type process struct {
	t        *testing.T
	cmd      *exec.Cmd
	commands io.Writer
	lines    chan string
	environ  map[string]string // what it printed before READY
	ended    sync.Once
}

func startProcess(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(program, args...), lines: make(chan string), environ: map[string]string{}}
	p.cmd.Stderr = os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.commands = in
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // it ends with the process
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	t.Cleanup(p.kill)
	for line := p.line(); line != "READY"; line = p.line() {
		name, value, _ := strings.Cut(line, "=")
		p.environ[name] = value
	}
	return p
}

func (p *process) line() string {
	p.t.Helper()
	select {
	case line, ok := <-p.lines:
		if !ok {
			p.t.Fatal("the main server has ended")
		}
		return line
	case <-time.After(30 * time.Second):
		p.t.Fatal("the main server says nothing")
	}
	return ""
}

// say gives a command and returns its answer.
func (p *process) say(command string) string {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.commands, command); err != nil {
		p.t.Fatal(err)
	}
	return p.line()
}

// kill is SIGKILL.
func (p *process) kill() {
	p.ended.Do(func() {
		p.cmd.Process.Kill()
		for range p.lines {
		}
		p.cmd.Wait()
	})
}

func connect(t *testing.T, uri string) *mongo.Collection {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second) // the server may be gone
		defer cancel()
		client.Disconnect(ctx)
	})
	return client.Database("gvpocr").Collection("bulk_jobs")
}

// counting has several clients increment one counter, until it is stopped.
type counting struct {
	stop         context.CancelFunc
	done         sync.WaitGroup
	mu           sync.Mutex
	acknowledged int
	lost         int // failed, so perhaps done
	progress     chan struct{}
}

func count(t *testing.T, c *mongo.Collection) *counting {
	t.Helper()
	if _, err := c.InsertOne(t.Context(), bson.M{"_id": "counter", "n": 0}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	k := &counting{stop: cancel, progress: make(chan struct{})}
	for range 4 {
		k.done.Go(func() {
			for ctx.Err() == nil {
				_, err := c.UpdateOne(ctx, bson.M{"_id": "counter"}, bson.M{"$inc": bson.M{"n": 1}})
				k.mu.Lock()
				if err == nil {
					k.acknowledged++
				} else {
					k.lost++
				}
				k.mu.Unlock()
				if err == nil {
					select {
					case k.progress <- struct{}{}:
					default:
					}
				}
			}
		})
	}
	return k
}

// goOn waits for n more acknowledged increments.
func (k *counting) goOn(t *testing.T, n int) {
	t.Helper()
	limit := time.After(30 * time.Second)
	for range n {
		select {
		case <-k.progress:
		case <-limit:
			t.Fatal("no write is acknowledged any more")
		}
	}
}

func (k *counting) check(t *testing.T, c *mongo.Collection) {
	t.Helper()
	k.stop()
	k.done.Wait()
	var counter struct{ N int }
	if err := c.FindOne(t.Context(), bson.M{"_id": "counter"}).Decode(&counter); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d increments acknowledged, %d failed, %d counted", k.acknowledged, k.lost, counter.N)
	if counter.N < k.acknowledged || counter.N > k.acknowledged+k.lost {
		t.Errorf("%d increments acknowledged and %d failed, %d counted", k.acknowledged, k.lost, counter.N)
	}
}

func TestAMongoDBThatIsKilledKeepsWhatItAcknowledged(t *testing.T) {
	t.Parallel()
	for name, set := range map[string][]string{
		"standalone":  nil,
		"replica set": {"-replica-set", "rs0", "-members", "127.0.0.1:0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"-services", "mongodb", "-dir", t.TempDir()}, set...)
			p := startProcess(t, args...)
			addr := p.environ["DIAL_MONGODB_PROXY"]
			c := connect(t, p.environ["MONGO_DIRECT_URI"])
			k := count(t, c)
			for range 3 {
				k.goOn(t, 50)
				p.kill()
				if set != nil {
					args[len(args)-1] = addr
				}
				p = startProcess(t, append(args, "-mongo-addr", addr)...)
			}
			k.goOn(t, 50)
			k.check(t, c)
		})
	}
}

func TestTheCommandsOfAMainServer(t *testing.T) {
	t.Parallel()
	p := startProcess(t, "-services", "mongodb", "-replica-set", "rs0", "-members", "127.0.0.1:0,127.0.0.1:0,127.0.0.1:0", "-election-time", "100ms")
	addrs := strings.Split(p.environ["DIAL_MONGODB_PROXY"], ",")
	c := connect(t, p.environ["MONGO_DIRECT_URI"])
	k := count(t, c)
	k.goOn(t, 20)
	for _, step := range []struct{ command, want string }{
		{"kill-primary", "OK " + addrs[0]},
		{"revive", "OK"},
		{"stepdown", "OK"},
		{"kill-primary", "OK " + addrs[2]},
		{"revive", "OK"},
		{"stop mongodb", "OK"},
		{"stepdown", "ERROR main server: mongodb does not run"},
		{"start mongodb", "OK"},
		{"frobnicate", `ERROR "frobnicate" is no command; there are stepdown, kill-primary, revive, stop SERVICE and start SERVICE`},
	} {
		if got := p.say(step.command); got != step.want {
			t.Errorf("%s: %q, want %q", step.command, got, step.want)
		}
		if !strings.HasPrefix(step.command, "stop") && !strings.HasPrefix(step.want, "ERROR main") {
			k.goOn(t, 20)
		}
	}
	k.check(t, c)
}

func TestMongoDBKeepsItsDataOverStopAndStart(t *testing.T) {
	t.Parallel()
	s, err := mainserver.Start(t.Context(), mainserver.Config{
		Services: []string{mainserver.MongoDB},
		Mongo:    mongotest.Config{ReplicaSet: "rs0", Members: []string{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	environ := s.Environ()
	c := connect(t, s.MongoURI)
	if _, err := c.InsertOne(t.Context(), bson.M{"_id": 1}); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(mainserver.MongoDB); err != nil {
		t.Fatal(err)
	}
	if _, err := s.KillPrimary(); err == nil {
		t.Error("the primary of a server that is stopped is killed")
	}
	if err := errors.Join(s.StepDown(), s.Revive()); err == nil {
		t.Error("a server that is stopped steps down and is revived")
	}
	if err := s.Start(mainserver.MongoDB); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.Environ(), environ) {
		t.Errorf("it is at %v, and was at %v", s.Environ(), environ)
	}
	if n, err := c.CountDocuments(t.Context(), bson.M{}); n != 1 || err != nil {
		t.Errorf("%d documents, %v", n, err)
	}
}
