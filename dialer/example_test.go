package dialer_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"time"

	"github.com/gvpocr/worker/dialer"
	"github.com/gvpocr/worker/resolve"
)

// greeter is a service that greets each connection, and where it listens.
func greeter() (addr string, stop func()) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(conn, "hello")
			conn.Close()
		}
	}()
	return listener.Addr().String(), func() {
		listener.Close()
		<-done
	}
}

func Example() {
	addr, stop := greeter()
	defer stop()

	// The environment says where services are: MAIN_SERVER_IP, DIAL_GREETER and so on.
	os.Setenv("DIAL_GREETER", addr)
	defer os.Unsetenv("DIAL_GREETER")
	d, err := dialer.FromEnv()
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()

	conn, err := d.DialContext(context.Background(), "tcp", "greeter:7")
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	line, err := bufio.NewReader(conn).ReadString('\n')
	fmt.Print(line, err)
	// Output:
	// hello
	// <nil>
}

func ExampleNew() {
	addr, stop := greeter()
	defer stop()
	names, err := resolve.Static(map[string]string{"greeter": addr})
	if err != nil {
		log.Fatal(err)
	}
	d, err := dialer.New(dialer.Config{
		Resolver: names,
		Budget:   5 * time.Second,              // of one dial, with all its attempts
		Spares:   map[string]int{"greeter": 2}, // connections that are ready
	})
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	conn, err := d.DialContext(context.Background(), "tcp", "greeter:7")
	if err != nil {
		log.Fatal(err)
	}
	text, err := io.ReadAll(conn)
	fmt.Printf("%q %v %v\n", text, err, conn.Close())
	// Output: "hello\n" <nil> <nil>
}

func ExampleFromEnv() {
	os.Setenv("DIAL_MONGODB_PROXY", "10.0.0.1")
	defer os.Unsetenv("DIAL_MONGODB_PROXY")
	d, err := dialer.FromEnv()
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	e, err := d.Explain(context.Background(), "mongodb-proxy:27017")
	fmt.Println(e.Verdict, err)
	// Output: dials 10.0.0.1:27017 <nil>
}

func ExampleConfigFromEnv() {
	cfg, err := dialer.ConfigFromEnv([]string{"MAIN_SERVER_IP=172.12.0.132", "DIALER_BUDGET=5s"}) // os.Environ()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("budget", cfg.Budget)

	_, err = dialer.ConfigFromEnv([]string{"MAIN_SERVER_IP=10.0.0.256", "DIALER_BUDGET=5"})
	fmt.Println(err)
	// Output:
	// budget 5s
	// MAIN_SERVER_IP: main server "10.0.0.256": neither an IP address nor a host name
	// DIALER_BUDGET: not a duration like 500ms, 15s or 2m
}

func ExampleDialer_DialContext() {
	names, err := resolve.Static(map[string]string{"mongodb-proxy": "127.0.0.1:1"}) // nothing listens there
	if err != nil {
		log.Fatal(err)
	}
	d, err := dialer.New(dialer.Config{Resolver: names, Budget: -1})
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	_, err = d.DialContext(context.Background(), "tcp", "mongodb-proxy:27017")
	if failed, ok := errors.AsType[*dialer.DialError](err); ok {
		fmt.Println(failed)
		fmt.Println("attempts:", len(failed.Attempts), "timed out:", failed.Timeout())
	}
	// Output:
	// dial mongodb-proxy:27017 (static mongodb-proxy): 127.0.0.1:1: connection refused; does the service run there, and is the address right?
	// attempts: 1 timed out: false
}

// For a client that dials by itself, and takes no dial function.
func ExampleDialer_Do() {
	names, err := resolve.Static(map[string]string{"queue": "10.0.0.1|10.0.0.2"})
	if err != nil {
		log.Fatal(err)
	}
	d, err := dialer.New(dialer.Config{Resolver: names})
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	err = d.Do(context.Background(), "queue:4150", func(_ context.Context, addr string) error {
		fmt.Println("the client connects to", addr)
		if addr == "10.0.0.1:4150" {
			return errors.New("no answer")
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// the client connects to 10.0.0.1:4150
	// the client connects to 10.0.0.2:4150
	// <nil>
}

// A server that answers and refuses what is asked is not down: nobody else has to be asked, and nobody again.
func ExamplePermanent() {
	names, err := resolve.Static(map[string]string{"queue": "10.0.0.1|10.0.0.2"})
	if err != nil {
		log.Fatal(err)
	}
	d, err := dialer.New(dialer.Config{Resolver: names})
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	unauthorized := errors.New("unauthorized")
	err = d.Do(context.Background(), "queue:4150", func(context.Context, string) error {
		return dialer.Permanent(unauthorized)
	})
	fmt.Println(err)
	fmt.Println(errors.Is(err, unauthorized))
	// Output:
	// dial queue:4150 (static queue): 10.0.0.1:4150: unauthorized
	// true
}

// A replica set announces its members by names that only the server's own network knows.
func ExampleDialer_Behind() {
	names, err := resolve.Static(map[string]string{"mongodb-proxy": "10.0.0.1"})
	if err != nil {
		log.Fatal(err)
	}
	d, err := dialer.New(dialer.Config{Resolver: names})
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	err = d.Behind("mongodb-proxy").Do(context.Background(), "gvpocr-mongo-1:27018", func(_ context.Context, addr string) error {
		fmt.Println("gvpocr-mongo-1:27018 is at", addr)
		return nil
	})
	fmt.Println(err)
	// Output:
	// gvpocr-mongo-1:27018 is at 10.0.0.1:27018
	// <nil>
}

// Who has better things to do than to fail waits until a dial has a chance.
func ExampleDialer_Health() {
	addr, stop := greeter()
	names, err := resolve.Static(map[string]string{"greeter": addr})
	if err != nil {
		log.Fatal(err)
	}
	d, err := dialer.New(dialer.Config{Resolver: names, Breaker: dialer.BreakerConfig{Failures: 1}, Budget: -1})
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	stop() // the service is down
	_, err = d.DialContext(context.Background(), "tcp", "greeter:7")
	fmt.Println("failed:", err != nil)

	health, changed := d.Health("greeter:7")
	fmt.Println("ready:", health.Ready)
	listener, err := net.Listen("tcp", addr) // the service is back, which a probe finds
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	<-changed
	health, _ = d.Health("greeter:7")
	fmt.Println("ready:", health.Ready)
	// Output:
	// failed: true
	// ready: false
	// ready: true
}

func ExampleDialer_Explain() {
	names, err := resolve.Static(map[string]string{"mongodb-proxy": "10.0.0.1|10.0.0.2:27018"})
	if err != nil {
		log.Fatal(err)
	}
	d, err := dialer.New(dialer.Config{Resolver: names})
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	e, err := d.Explain(context.Background(), "mongodb-proxy:27017")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(e)
	// Output:
	// mongodb-proxy:27017: dials 10.0.0.1:27017
	//   resolved by static mongodb-proxy
	//   dial  10.0.0.1:27017: priority 0, weight 1
	//   dial  10.0.0.2:27018: priority 1, weight 1
}

// How does a program take it when its database is cut off in the middle of an answer? It can be asked, in a test.
func ExampleFaults() {
	addr, stop := greeter()
	defer stop()
	names, err := resolve.Static(map[string]string{"greeter": addr})
	if err != nil {
		log.Fatal(err)
	}
	d, err := dialer.New(dialer.Config{
		Resolver: names,
		Faults:   &dialer.Faults{Rules: []dialer.Fault{{Name: "greeter", Kind: dialer.Cut, Bytes: 4}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	conn, err := d.DialContext(context.Background(), "tcp", "greeter:7")
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	text, err := io.ReadAll(conn)
	fmt.Printf("%q, failed: %v\n", text, err != nil)
	// Output: "hell", failed: true
}

func ExampleTrace() {
	addr, stop := greeter()
	defer stop()
	names, err := resolve.Static(map[string]string{"greeter": "127.0.0.1:1|" + addr}) // nothing listens on port 1
	if err != nil {
		log.Fatal(err)
	}
	d, err := dialer.New(dialer.Config{
		Resolver: names,
		Trace: &dialer.Trace{
			Resolved:  func(name string, a resolve.Answer, _ error) { fmt.Println(name, "has", len(a.Endpoints), "endpoints") },
			Attempted: func(_ string, a dialer.Attempt) { fmt.Println("attempt, connected:", a.Err == nil) },
			Dialed:    func(name, _ string, _ bool, _ time.Duration, err error) { fmt.Println(name, "is dialed:", err) },
			Closed:    func(name, _ string, _ time.Duration, reason string) { fmt.Println(name, "is", reason) },
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	conn, err := d.DialContext(context.Background(), "tcp", "greeter:7")
	if err != nil {
		log.Fatal(err)
	}
	conn.Close()
	// Output:
	// greeter:7 has 2 endpoints
	// attempt, connected: false
	// attempt, connected: true
	// greeter:7 is dialed: <nil>
	// greeter:7 is closed by the program
}
