package resolve_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gvpocr/worker/resolve"
)

var goodTargets = []struct {
	text string
	want []resolve.Endpoint // asked with port 27017
}{
	{"10.0.0.1", []resolve.Endpoint{{"10.0.0.1:27017", 0, 1}}},
	{"10.0.0.1:27018", []resolve.Endpoint{{"10.0.0.1:27018", 0, 1}}},
	{"main.example.org", []resolve.Endpoint{{"main.example.org:27017", 0, 1}}},
	{"under_score-1", []resolve.Endpoint{{"under_score-1:27017", 0, 1}}},
	{"3f2a91c0de4b", []resolve.Endpoint{{"3f2a91c0de4b:27017", 0, 1}}},
	{"::1", []resolve.Endpoint{{"[::1]:27017", 0, 1}}},
	{"[2001:db8::1]:27018*7", []resolve.Endpoint{{"[2001:db8::1]:27018", 0, 7}}},
	{"10.0.0.1,10.0.0.2|standby.example.org:27018", []resolve.Endpoint{
		{"10.0.0.1:27017", 0, 1}, {"10.0.0.2:27017", 0, 1}, {"standby.example.org:27018", 1, 1},
	}},
	{"srv:_mongodb._tcp.example.org", []resolve.Endpoint{}},
	{"srv:_mongodb._tcp.Example.org.|10.0.0.1,srv:_m._tcp.example.com|srv:27017*3", []resolve.Endpoint{
		{"10.0.0.1:27017", 1, 1}, {"srv:27017", 2, 3},
	}},
	{"a*3,b:1*65535|c|d", []resolve.Endpoint{{"a:27017", 0, 3}, {"b:1", 0, 65535}, {"c:27017", 1, 1}, {"d:27017", 2, 1}}},
}

var badTargets = []struct{ text, want string }{
	{"", "a host is missing"},
	{"a,,b", "a host is missing"},
	{"a|", "a host is missing"},
	{":80", "1 to 253 characters"},
	{"a:", "the port must be a number"},
	{"a:0", "the port must be a number"},
	{"a:65536", "the port must be a number"},
	{"a:http", "the port must be a number"},
	{"a:+80", "the port must be a number"},
	{"a*0", "the weight"},
	{"a*65536", "the weight"},
	{"a*-1", "the weight"},
	{"2001:db8::1:27018:x", "the port must be a number"},
	{"[::1", "brackets"},
	{"[10.0.0.1]:80", "brackets"},
	{"[::1]80", "only :port"},
	{"10.0.0.256", "neither an IP address nor a host name"},
	{"a b", "letters, digits"},
	{"bücher.example", "letters, digits"},
	{"a..b", "each label"},
	{strings.Repeat("a", 64), "each label"},
	{strings.Repeat("a.", 200) + "a", "1 to 253"},
	{"http://10.0.0.1:4161", "not a URL"},
	{"srv:", "after srv:"},
	{"srv:example.org", "after srv:"},
	{"srv:_mongodb._tcp", "after srv:"},
	{"srv:_mongodb.tcp.example.org", "after srv:"},
	{"srv:_mongodb._tcp.example.org*3", "no weight of its own"},
	{"srv:_mongodb._tcp.example.org:27017", "letters, digits"},
	{"srv:_mongodb._tcp.example..org", "each label"},
	{"srv:_mongodb._tcp.10.0.0.1", "neither an IP address nor a host name"},
	{"a|srv:admin:s3cret@db", "not shown"},
	{strings.Repeat("a,", 256) + "a", "more than 256 parts"},
}

func TestTargetsSayWhereAServiceIs(t *testing.T) {
	for _, test := range goodTargets {
		target, err := resolve.ParseTarget(test.text)
		if err != nil {
			t.Errorf("%q: %v", test.text, err)
			continue
		}
		if diff := cmp.Diff(test.want, target.Endpoints("27017")); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.text, diff)
		}
		if got := target.String(); got != test.text {
			t.Errorf("%q: String gives %q", test.text, got)
		}
	}
}

func TestBlanksAroundPartsDoNotMatter(t *testing.T) {
	target, err := resolve.ParseTarget(" a , b:1 | c ")
	if err != nil || target.String() != "a,b:1|c" {
		t.Errorf("got %q, %v", target, err)
	}
}

func TestBadTargetsSayWhatIsWrong(t *testing.T) {
	for _, test := range badTargets {
		target, err := resolve.ParseTarget(test.text)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: got %v, %v; want an error with %q", test.text, target, err, test.want)
		}
	}
}

func TestBadTargetsDoNotShowPasswords(t *testing.T) {
	for _, text := range []string{"mongodb://admin:s3cret@db:27017", "admin:s3cret@db", "x,admin:s3cret@db|y"} {
		if _, err := resolve.ParseTarget(text); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, test := range goodTargets {
		f.Add(test.text)
	}
	for _, test := range badTargets {
		f.Add(test.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		target, err := resolve.ParseTarget(text)
		if err != nil {
			return
		}
		again, err := resolve.ParseTarget(target.String())
		if err != nil {
			t.Fatalf("%q: String gives %q, which is refused: %v", text, target, err)
		}
		if diff := cmp.Diff(target.Endpoints("1"), again.Endpoints("1")); diff != "" {
			t.Fatalf("%q changes through String (-first +second):\n%s", text, diff)
		}
	})
}

func TestAHostIsAnAddressOrANameOfDNSOrContainers(t *testing.T) {
	for _, host := range []string{"a", "gvpocr_nsqd", "gvpocr_nsqd.1", "3f2a91c0de4b", "db.example.org.", "10.0.0.1", "::1", "fe80::1%eth0"} {
		if !resolve.IsHost(host) {
			t.Errorf("%q is none", host)
		}
	}
	for _, host := range []string{"", "a:1", "[::1]", "u@a", "a/b", "a..b", "a b", "\x1b[31m", "fe80::1%\x1b[31m", "a|b", "srv:a"} {
		if resolve.IsHost(host) {
			t.Errorf("%q is one", host)
		}
	}
}
