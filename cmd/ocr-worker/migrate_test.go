package main

import "testing"

func TestAWorkersCommandLineIsToldFromAnotherPrograms(t *testing.T) {
	for _, c := range []struct {
		takes bool
		words []string
	}{
		{true, []string{"--worker-id", "w1"}},
		{true, []string{"--nsqlookupd", "nsqlookupd-proxy:4161", "http://b:4161", "--worker-id", "w1"}},
		{true, []string{"run", "--worker-id=w1"}},
		{false, []string{"check"}},
		{false, []string{"python", "run_worker.py", "--worker-id", "w1"}},
		{false, []string{"python", "run_worker.py", "--worker-id", "w1", "--nsqlookupd", "nsqlookupd-proxy:4161"}},
		{false, []string{"--queue", "x"}},
		{false, []string{"--nsqlookupd", "nsqlookupd-proxy"}},
	} {
		if err := workerTakes(c.words); (err == nil) != c.takes {
			t.Errorf("%q: %v", c.words, err)
		}
	}
}
