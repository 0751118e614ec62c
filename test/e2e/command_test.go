package e2e_test

import (
	"strings"
	"testing"

	"github.com/gvpocr/worker/test/backend"
	"github.com/gvpocr/worker/test/mainserver"
)

// The old container command names the worker and several nsqlookupds.
func TestTheOldCommandLineOverridesTheEnvironment(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"several addresses to one flag": {"--worker-id", "X", "--nsqlookupd", "nsqlookupd-proxy:4161", "other:4161"},
		"a flag for each":               {"--worker-id=X", "--nsqlookupd=other:4161", "--nsqlookupd=http://nsqlookupd-proxy:4161"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, mainserver.Config{})
			path := s.put("notice.gif", "scans/1.gif")
			dead := newRelay(t, "")
			job := s.submit(backend.Task{FilePath: "1.gif"})
			// Without NSQD_ADDRESS only nsqlookupd can say where the queue is. A short budget, since one of them is dead.
			env := s.environ("from-the-environment", "NSQD_ADDRESS=", "NSQLOOKUPD_ADDRESSES=never:1", "DIAL_NEVER="+dead.addr,
				"DIAL_OTHER="+dead.addr, "DIALER_BUDGET=1s")
			w := runWorker(t, env, args...)
			done := s.finish(job)
			s.wantResults(done, path)
			if id := done.Checkpoint.Results[0].Metadata.WorkerID; id != "X" {
				t.Errorf("worker_id %q, want X", id)
			}
			w.waitLog("connection failed", "service=nsqlookupd", "address=other:4161")
			if strings.Contains(w.text(), "never") {
				t.Error("the environment's nsqlookupd was asked")
			}
		})
	}
}

// command is a call of the worker that ends by itself.
type command struct {
	args []string
	env  []string // after the compose file's lines
	code int
	says []string
	not  []string
}

func TestTheCommandLineSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]command{
		"help": {args: []string{"--help"}, says: []string{"--worker-id", "--nsqlookupd", "MAIN_SERVER_IP", "MONGO_URI"}},
		"an unknown flag": {
			args: []string{"--workers", "3"}, code: 1, says: []string{"--workers"},
		},
		"an argument without its flag": {
			args: []string{"nsqlookupd-proxy:4161"}, code: 1, says: []string{`unexpected argument "nsqlookupd-proxy:4161"`, "--help"},
		},
		"several bad variables at once": {
			env: []string{"OCR_CONCURRENCY=s3cret-1", "OCR_FILE_TIMEOUT=s3cret-2", "LOG_LEVEL=s3cret-3", "LOG_FORMAT=s3cret-4", "DIALER_BUDGET=s3cret-5",
				"DIALER_NONSENSE=s3cret-6", "UNKNOWN_PROVIDER=s3cret-7", "TESSERACT_ENABLED=s3cret-8", "MONGO_URI=mongodb://u:s3cret-9"},
			code: 1,
			says: []string{"OCR_CONCURRENCY", "OCR_FILE_TIMEOUT", "LOG_LEVEL", "LOG_FORMAT", "DIALER_BUDGET", "DIALER_NONSENSE", "UNKNOWN_PROVIDER",
				"TESSERACT_ENABLED", "MONGO_URI"},
			not: []string{"s3cret"},
		},
		"another queue": {env: []string{"USE_NSQ=false"}, code: 1, says: []string{"USE_NSQ", "no other queue than NSQ"}},
		"no MongoDB":    {env: []string{"MONGO_URI="}, code: 1, says: []string{"MONGO_URI is not set"}},
		"no queue": {
			env: []string{"NSQD_ADDRESS=", "NSQLOOKUPD_ADDRESSES="}, code: 1, says: []string{"NSQLOOKUPD_ADDRESSES", "NSQD_ADDRESS"},
		},
		"no provider": {env: []string{"TESSERACT_ENABLED=false"}, code: 1, says: []string{"no provider is on", "TESSERACT_ENABLED=true"}},
		"no tesseract": {
			env: []string{"TESSERACT_CMD=/no/such/tesseract"}, code: 1, says: []string{"tesseract", "install", "TESSERACT_CMD"},
		},
		"a program that is not tesseract": {env: []string{"TESSERACT_CMD=echo"}, code: 1, says: []string{"not tesseract", "TESSERACT_CMD"}},
		"an nsqlookupd that is no address": {
			args: []string{"--nsqlookupd", "nsqlookupd-proxy"}, code: 1, says: []string{"nsqlookupd-proxy", "host:port"},
		},
		"an nsqlookupd with a password": {
			args: []string{"--nsqlookupd", "http://u:s3cret@nsqlookupd-proxy"}, code: 1, says: []string{"--nsqlookupd", "host:port"}, not: []string{"s3cret"},
		},
		"an nsqd that is no address": {env: []string{"NSQD_ADDRESS=nsqd-proxy"}, code: 1, says: []string{"NSQD_ADDRESS", "host:port"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			needTesseract(t)
			dir := t.TempDir()
			w := runWorker(t, append(composeEnvironment("worker1", dir, dir), c.env...), c.args...)
			w.fails = true
			if code := w.exitCode(); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, word := range c.says {
				if !strings.Contains(w.text(), word) {
					t.Errorf("it does not say %q", word)
				}
			}
			for _, word := range c.not {
				if strings.Contains(w.text(), word) {
					t.Errorf("it says %q", word)
				}
			}
		})
	}
}
