package services_test

import (
	"slices"
	"testing"

	"github.com/gvpocr/worker/internal/services"
	"github.com/gvpocr/worker/ocrworker"
)

func TestServicesAreThoseOfTheConfiguration(t *testing.T) {
	got := services.Of(ocrworker.Config{
		MongoURI: "mongodb://u:p@one,two:27018/gvpocr?replicaSet=rs0",
		NSQD:     "nsqd-proxy:4150",
		Lookupds: []string{"http://lookup:4161", "other:4161"},
	})
	got = append(got, services.Files([]string{"GVPOCR_SERVER_URL=http://backend-proxy:5000/api", "SAMBA_HOST=samba-proxy"})...)
	want := []services.Service{
		{Kind: services.MongoDB, Address: "one:27017"}, {Kind: services.MongoDB, Address: "two:27018"},
		{Kind: services.NSQD, Address: "nsqd-proxy:4150"},
		{Kind: services.NSQLookupd, Address: "lookup:4161"}, {Kind: services.NSQLookupd, Address: "other:4161"},
		{Kind: services.HTTP, Address: "backend-proxy:5000"},
		{Kind: services.SMB, Address: "samba-proxy:13445"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := services.Files([]string{"GVPOCR_SERVER_URL=", "SAMBA_HOST="}); len(got) > 0 {
		t.Errorf("%v of nothing", got)
	}
	if got := services.Files([]string{"GVPOCR_SERVER_URL=https://gvpocr.example.org", "SAMBA_HOST=[2001:db8::1]:445"}); !slices.Equal(got, []services.Service{
		{Kind: services.HTTPS, Address: "gvpocr.example.org:443"}, {Kind: services.SMB, Address: "[2001:db8::1]:445"},
	}) {
		t.Errorf("%v", got)
	}
}

func TestANameStandsForAService(t *testing.T) {
	configured := []services.Service{{Kind: services.MongoDB, Address: "db.example.org:27100"}}
	for name, want := range map[string]services.Service{
		"mongodb-proxy":        {Kind: services.MongoDB, Address: "mongodb-proxy:27017"},
		"gvpocr-nsqd":          {Kind: services.NSQD, Address: "gvpocr-nsqd:4150"},
		"nsqlookupd":           {Kind: services.NSQLookupd, Address: "nsqlookupd:4161"},
		"backend-proxy:8080":   {Kind: services.HTTP, Address: "backend-proxy:8080"},
		"samba-proxy":          {Kind: services.SMB, Address: "samba-proxy:13445"},
		"db.example.org":       configured[0],
		"db.example.org:27100": configured[0],
		"db.example.org:27017": {Kind: services.MongoDB, Address: "db.example.org:27017"},
		"10.0.0.1:4150":        {Kind: services.NSQD, Address: "10.0.0.1:4150"},
		"nsqd-proxy:4151":      {Kind: services.NSQDHTTP, Address: "nsqd-proxy:4151"},
		"nsqlookupd:4160":      {Kind: services.NSQLookupdTCP, Address: "nsqlookupd:4160"},
		"10.0.0.1:4151":        {Kind: services.NSQDHTTP, Address: "10.0.0.1:4151"},
		"10.0.0.1:4160":        {Kind: services.NSQLookupdTCP, Address: "10.0.0.1:4160"},
		"10.0.0.1:4161":        {Kind: services.NSQLookupd, Address: "10.0.0.1:4161"},
		"nsqd-proxy:14150":     {Kind: services.NSQD, Address: "nsqd-proxy:14150"},
		"[2001:db8::1]:22":     {Kind: services.TCP, Address: "[2001:db8::1]:22"},
	} {
		if got, ok := services.Named(name, configured); !ok || got != want {
			t.Errorf("%s: %v, %v; want %v", name, got, ok, want)
		}
	}
	for _, name := range []string{"elsewhere", "10.0.0.1", ""} {
		if got, ok := services.Named(name, configured); ok {
			t.Errorf("%q: %v", name, got)
		}
	}
	for _, name := range services.Names() {
		if _, ok := services.Named(name, nil); !ok {
			t.Errorf("%s is not known", name)
		}
	}
}
