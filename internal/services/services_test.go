package services_test

import (
	"errors"
	"slices"
	"strings"
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
	files, err := services.Files([]string{"GVPOCR_SERVER_URL=http://backend-proxy:5000/api", "SAMBA_HOST=samba-proxy"})
	got = append(got, files...)
	want := []services.Service{
		{Kind: services.MongoDB, Address: "one:27017"}, {Kind: services.MongoDB, Address: "two:27018"},
		{Kind: services.NSQD, Address: "nsqd-proxy:4150"},
		{Kind: services.NSQLookupd, Address: "lookup:4161"}, {Kind: services.NSQLookupd, Address: "other:4161"},
		{Kind: services.HTTP, Address: "backend-proxy:5000"},
		{Kind: services.SMB, Address: "samba-proxy:13445"},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, want %v; %v", got, want, err)
	}
	if got, err := services.Files([]string{"GVPOCR_SERVER_URL=", "SAMBA_HOST="}); len(got) > 0 || err != nil {
		t.Errorf("%v of nothing, %v", got, err)
	}
	got, err = services.Files([]string{"GVPOCR_SERVER_URL=https://gvpocr.example.org", "SAMBA_HOST=[2001:db8::1]:445"})
	if err != nil || !slices.Equal(got, []services.Service{
		{Kind: services.HTTPS, Address: "gvpocr.example.org:443"}, {Kind: services.SMB, Address: "[2001:db8::1]:445"},
	}) {
		t.Errorf("%v, %v", got, err)
	}
}

// SAMBA_HOST in the form of a share may hold a password, as a URL may.
func TestAVariableThatNamesNoHostIsNamedAndNotShown(t *testing.T) {
	for _, line := range []string{
		"SAMBA_HOST=//u:s3cret@h/share", "SAMBA_HOST=u:s3cret@h", "SAMBA_HOST=s3cret@h:445", "SAMBA_HOST=h:s3cret",
		"GVPOCR_SERVER_URL=u:s3cret@h:5000", "GVPOCR_SERVER_URL=http://u:s3%zzcret@h", "GVPOCR_SERVER_URL=http://:5000",
	} {
		got, err := services.Files([]string{line})
		name, _, _ := strings.Cut(line, "=")
		if len(got) > 0 || err == nil || !strings.HasPrefix(err.Error(), name+": not ") || strings.Contains(err.Error(), "cret") {
			t.Errorf("%s: %v, %v", line, got, err)
		}
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
		if got, err := services.Named(name, configured); err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("%s: %v, %v; want %v", name, got, err, want)
		}
	}
	for _, name := range []string{"elsewhere", "10.0.0.1"} {
		if got, err := services.Named(name, configured); !errors.Is(err, services.ErrPort) {
			t.Errorf("%q: %v, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "mongodb://u:s3cret@h:1", "u:s3cret@h", "u@h:1", ":27017", "h:s3cret", "[h]:1:2"} {
		if got, err := services.Named(name, configured); !errors.Is(err, services.ErrAddress) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v, %v", name, got, err)
		}
	}
	for _, name := range services.Names() {
		if _, err := services.Named(name, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAHostStandsForAllOfItsServices(t *testing.T) {
	configured := []services.Service{
		{Kind: services.MongoDB, Address: "10.0.0.1:27017"}, {Kind: services.NSQD, Address: "10.0.0.2:4150"},
		{Kind: services.NSQLookupd, Address: "10.0.0.1:4161"}, {Kind: services.MongoDB, Address: "[2001:db8::1]:27017"},
	}
	for name, want := range map[string][]services.Service{
		"10.0.0.1": {configured[0], configured[2]}, "10.0.0.1:4161": {configured[2]},
		"2001:db8::1": {configured[3]}, "[2001:db8::1]": {configured[3]},
	} {
		if got, err := services.Named(name, configured); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, want)
		}
	}
}
