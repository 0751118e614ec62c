package jobs_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/gvpocr/worker/ocrworker/jobs"
	"github.com/gvpocr/worker/test/mongotest"
)

const (
	user     = "gvpocr_admin"
	password = "gvp@123"
	encoded  = "gvp%40123"
)

// log collects what a Store logs. It is safe for concurrent use.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func openWithLogin(t *testing.T, before, after string) (*jobs.Store, *log) {
	t.Helper()
	srv := startMongo(t, mongotest.Config{User: user, Password: password})
	l := &log{}
	logger := slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return open(t, jobs.Config{URI: "mongodb://" + before + "@" + srv.Addr() + after, Logger: logger}), l
}

// A root user made by MongoDB's official image lives in the database admin, and today's URIs don't say so.
func TestAUserWhoIsRefusedInTheURIsDatabaseIsLookedForInAdmin(t *testing.T) {
	t.Parallel()
	store, l := openWithLogin(t, user+":"+encoded, "/gvpocr")
	ctx := testContext(t)
	var all sync.WaitGroup
	for range 8 { // at once: the first that is refused opens the new connection, for all
		all.Go(func() {
			if err := store.Ping(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := strings.Count(l.String(), "authSource=admin"); n != 1 {
		t.Errorf("the fallback is logged %d times, want once:\n%s", n, l)
	}
	wantNoPassword(t, l.String(), password, encoded)
}

func TestAURIThatNamesTheDatabaseOfItsUserIsTakenAtItsWord(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		after string
		works bool
	}{
		"admin by name":    {"/gvpocr?authSource=admin", true},
		"admin as path":    {"/admin", true},
		"none at all":      {"", true}, // drivers then take admin
		"another database": {"/gvpocr?authSource=gvpocr", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, l := openWithLogin(t, user+":"+encoded, test.after)
			err := store.Ping(testContext(t))
			if works := err == nil; works != test.works {
				t.Errorf("error %v", err)
			}
			if !test.works && !jobs.IsOutage(err) {
				t.Errorf("a refused login is no outage: %v", err)
			}
			if l.String() != "" {
				t.Errorf("it fell back:\n%s", l)
			}
		})
	}
}

// An operator has to mend it, and the work waits meanwhile.
func TestAWrongPasswordIsAnOutageAndIsNotShown(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]string{"with the fallback": "/gvpocr", "without": "/gvpocr?authSource=admin"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, l := openWithLogin(t, user+":wr%40ng", after)
			ctx := testContext(t)
			for range 2 { // also once the fallback is used up
				err := store.Ping(ctx)
				if err == nil {
					t.Fatal("the wrong password is taken")
				}
				if !jobs.IsOutage(err) {
					t.Errorf("no outage: %v", err)
				}
				wantNoPassword(t, err.Error()+l.String(), "wr@ng", "wr%40ng")
			}
		})
	}
}

func TestABadURIIsAnErrorThatShowsTheFormAndNoPassword(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{
		"", "mongodb://", "http://h/db", "mongodb://u:s3cret@h:nonsense/db", "mongodb://u:s3@cret@h/db", "mongodb://u:s3%cret@h/db",
		"mongodb://u:s3cret/db", "mongodb://u:s3cret", "mongodb://u:s3cret@h/db?w=s3cret&maxPoolSize=s3cret",
	} {
		_, err := jobs.Open(jobs.Config{URI: uri})
		if err == nil {
			t.Errorf("%s is taken", uri)
			continue
		}
		if !strings.Contains(err.Error(), "mongodb://user:password@host:port/database") {
			t.Errorf("%s: the error does not show the form: %v", uri, err)
		}
		wantNoPassword(t, err.Error(), "s3", "cret")
		if check := jobs.CheckURI(uri); check == nil {
			t.Errorf("CheckURI takes %s", uri)
		}
	}
}

func TestHostsAreThoseOfTheURIWithoutItsUser(t *testing.T) {
	t.Parallel()
	store := open(t, jobs.Config{URI: "mongodb://u:s3cret@a:27017,b:27018/gvpocr?replicaSet=rs"})
	if got := strings.Join(store.Hosts(), " "); got != "a:27017 b:27018" {
		t.Errorf("Hosts are %q", got)
	}
}

// It could take tasks, and store nothing.
func TestASignOfLifeIsNoneWithoutTheRightToWriteTheJobs(t *testing.T) {
	t.Parallel()
	srv := startMongo(t, mongotest.Config{User: user, Password: password, ReadOnly: true})
	store := open(t, jobs.Config{URI: srv.URI() + "gvpocr"})
	if err := store.Ping(testContext(t)); !jobs.IsOutage(err) || !strings.Contains(err.Error(), "write to bulk_jobs") || !strings.Contains(err.Error(), "not authorized") {
		t.Errorf("%v", err)
	}
}

// MongoDB answers its own ping to everybody.
func TestASignOfLifeIsNoneWithoutTheRightToReadTheJobs(t *testing.T) {
	t.Parallel()
	srv := startMongo(t, mongotest.Config{User: user, Password: password})
	store := open(t, jobs.Config{URI: "mongodb://" + srv.Addr() + "/gvpocr"})
	if err := store.Ping(testContext(t)); !jobs.IsOutage(err) || !strings.Contains(err.Error(), "requires authentication") {
		t.Errorf("%v", err)
	}
}
