package main

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if played, code := playRole(); played {
		os.Exit(code)
	}
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		flag.Set("test.parallel", "8") // the scenarios wait more than they compute, and each has a main server of its own
	}
	goleak.VerifyTestMain(m,
		// The thread that starts processes, which must not end before them.
		goleak.IgnoreTopFunction("github.com/gvpocr/worker/test/chaos.onThread.func1"))
}

// Outages are short in tests, which take a minute by default, and a machine that runs tests does much else.
const (
	outageInTests = 5 * time.Second
	slackInTests  = 10 * time.Second
)

func TestNothingIsLostOrCountedTwice(t *testing.T) {
	t.Parallel()
	for _, s := range scenarios {
		if !s.inCI {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			runInTest(t, s)
		})
	}
}

func runInTest(t *testing.T, s scenario) {
	var said strings.Builder
	opts := options{outage: outageInTests, slack: slackInTests, dir: t.TempDir(), say: func(line string) { said.WriteString(line + "\n") }}
	o := play(t.Context(), s, 1, opts)
	if o.skipped != "" {
		t.Skip(o.skipped)
	}
	for _, problem := range o.problems {
		t.Error(problem)
	}
	if t.Failed() {
		t.Log(said.String())
	}
}
