package resolve_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/gvpocr/worker/internal/testdns"
	"github.com/gvpocr/worker/resolve"
)

func ExampleParseTarget() {
	target, err := resolve.ParseTarget("10.0.0.1,10.0.0.2*3|standby.example.org:27018")
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range target.Endpoints("27017") {
		fmt.Println(e.Priority, e.Weight, e.Addr)
	}
	// Output:
	// 0 1 10.0.0.1:27017
	// 0 3 10.0.0.2:27017
	// 1 1 standby.example.org:27018
}

// show prints what a resolver says about a name.
func show(r resolve.Resolver, host, port string) {
	answer, err := r.Resolve(context.Background(), host, port)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, e := range answer.Endpoints {
		fmt.Printf("%s is %s (%s)\n", host, e.Addr, answer.Source)
	}
}

func ExampleStatic() {
	r, err := resolve.Static(map[string]string{
		"mongodb-proxy":   "10.0.0.1|10.0.0.2:27018", // the second is tried when the first fails
		"nsqd-proxy:4151": "10.0.0.3",                // the HTTP port alone
	})
	if err != nil {
		log.Fatal(err)
	}
	show(r, "mongodb-proxy", "27017")
	show(r, "nsqd-proxy", "4151")
	show(r, "nsqd-proxy", "4150")
	// Output:
	// mongodb-proxy is 10.0.0.1:27017 (static mongodb-proxy)
	// mongodb-proxy is 10.0.0.2:27018 (static mongodb-proxy)
	// nsqd-proxy is 10.0.0.3:4151 (static nsqd-proxy:4151)
	// nsqd-proxy: name not found (static)
}

func ExampleEnv() {
	r, err := resolve.Env([]string{"DIAL_MONGODB_PROXY=10.0.0.1:27018"}) // os.Environ()
	if err != nil {
		log.Fatal(err)
	}
	show(r, "mongodb-proxy", "27017")
	show(r, "gvpocr-mongodb", "27017") // an alias of the same service
	show(r, "nsqd-proxy", "4150")
	// Output:
	// mongodb-proxy is 10.0.0.1:27018 (env DIAL_MONGODB_PROXY)
	// gvpocr-mongodb is 10.0.0.1:27018 (env DIAL_MONGODB_PROXY)
	// nsqd-proxy: name not found (env DIAL_NSQD_PROXY)
}

func ExampleMainServer() {
	r, err := resolve.MainServer("172.12.0.132")
	if err != nil {
		log.Fatal(err)
	}
	show(r, "mongodb-proxy", "27017")
	show(r, "nsqd", "4150")
	show(r, "db.example.org", "27017")
	// Output:
	// mongodb-proxy is 172.12.0.132:27017 (main server 172.12.0.132)
	// nsqd is 172.12.0.132:4150 (main server 172.12.0.132)
	// db.example.org: name not found (main server 172.12.0.132)
}

func ExampleSystem() {
	r := resolve.System(nil)
	show(r, "192.0.2.7", "80")
	show(r, "standby.example.org", "27017")
	show(r, "mongodb-proxy", "27017")
	// Output:
	// 192.0.2.7 is 192.0.2.7:80 (address)
	// standby.example.org is 192.0.2.9:27017 (DNS)
	// mongodb-proxy: name not found (DNS)
}

func ExampleSRV() {
	zone := testdns.NewZone(
		"_mongodb._tcp.example.org. 60 IN SRV 0 1 27017 db1.example.org.",
		"_mongodb._tcp.example.org. 60 IN SRV 10 1 27018 db2.example.org.",
		"db1.example.org. 60 IN A 192.0.2.1",
		"db2.example.org. 60 IN A 192.0.2.2",
	)
	server, err := testdns.Listen(zone, zone)
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	r, err := resolve.SRV(resolve.SRVConfig{Domain: "example.org", Servers: []string{server.Addr}})
	if err != nil {
		log.Fatal(err)
	}
	show(r, "mongodb-proxy", "27017") // the port is the records'
	show(r, "nsqd-proxy", "4150")
	// Output:
	// mongodb-proxy is 192.0.2.1:27017 (SRV _mongodb._tcp.example.org)
	// mongodb-proxy is 192.0.2.2:27018 (SRV _mongodb._tcp.example.org)
	// nsqd-proxy: name not found (SRV _nsqd._tcp.example.org)
}

func ExampleChain() {
	named, err := resolve.Static(map[string]string{"mongodb-proxy": "10.0.0.1"})
	if err != nil {
		log.Fatal(err)
	}
	main, err := resolve.MainServer("172.12.0.132")
	if err != nil {
		log.Fatal(err)
	}
	r := resolve.Chain(named, main)
	show(r, "mongodb-proxy", "27017")
	show(r, "nsqd-proxy", "4150")
	// Output:
	// mongodb-proxy is 10.0.0.1:27017 (static mongodb-proxy)
	// nsqd-proxy is 172.12.0.132:4150 (main server 172.12.0.132)
}

func ExampleNewCache() {
	dir, err := os.MkdirTemp("", "names")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	cache := resolve.NewCache(resolve.System(nil), resolve.CacheConfig{
		MaxStale: 24 * time.Hour,                   // an answer outlives its name server by a day at most
		File:     filepath.Join(dir, "names.json"), // and the process, too
	})
	defer cache.Close()
	show(cache, "standby.example.org", "27017")

	// Who dials a name, and not only asks for it, wants to know when it moves.
	answer, changed := cache.Watch("standby.example.org", "27017")
	select {
	case <-changed:
		fmt.Println("moved")
	default:
		fmt.Println("still", answer.Endpoints[0].Addr)
	}
	// Output:
	// standby.example.org is 192.0.2.9:27017 (DNS)
	// still 192.0.2.9:27017
}

func ExampleFromEnv() {
	r, err := resolve.FromEnv([]string{
		"MAIN_SERVER_IP=172.12.0.132",
		"DIAL_NSQD_PROXY=172.12.0.133:14150",
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range [][2]string{{"mongodb-proxy", "27017"}, {"nsqd-proxy", "4150"}} {
		answer, err := r.Resolve(context.Background(), name[0], name[1])
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(name[0], "is", answer.Endpoints[0].Addr, "says", answer.Source)
	}
	// Output:
	// mongodb-proxy is 172.12.0.132:27017 says main server 172.12.0.132
	// nsqd-proxy is 172.12.0.133:14150 says env DIAL_NSQD_PROXY
}
