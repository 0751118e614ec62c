package resolve_test

import (
	"context"
	"fmt"
	"log"

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
