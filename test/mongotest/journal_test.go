package mongotest_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gvpocr/worker/test/mongotest"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// connected is a session with a server that is started for it; stop ends both.
func connected(t *testing.T, cfg mongotest.Config) (s *session, srv *mongotest.Server, stop func()) {
	t.Helper()
	srv = start(t, cfg)
	d, err := connect2(srv.URI())
	if err != nil {
		t.Fatal(err)
	}
	return &session{driver: d, db: "d", own: true, uri: srv.URI()}, srv, func() {
		t.Helper()
		if err := d.close(ctxOf(t)); err != nil {
			t.Error(err)
		}
		srv.Kill()
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatWasWrittenIsThereAfterAKill(t *testing.T) {
	dir := t.TempDir()
	s, _, stop := connected(t, mongotest.Config{Dir: dir})
	c := s.collection(t, doc("_id", 1, "n", 0, "list", list()), doc("_id", 2, "n", -1), doc("_id", doc("a", 1)))
	for i := range 20 {
		s.mustRun(t, doc("update", c, "updates", list(doc("q", doc("_id", 1),
			"u", doc("$inc", doc("n", 1), "$push", doc("list", i), "$currentDate", doc("at", true))))))
	}
	s.mustRun(t, doc("update", c, "updates", list(
		doc("q", doc("_id", 2), "u", doc("n", -2, "x", bson.Timestamp{})), // which the server fills
		doc("q", doc("_id", 3), "u", doc("$currentDate", doc("at", doc("$type", "timestamp"))), "upsert", true))))
	s.mustRun(t, doc("delete", c, "deletes", list(doc("q", doc("_id.a", 1), "limit", 1))))
	s.mustRun(t, doc("createIndexes", c, "indexes", list(doc("key", doc("n", 1), "name", "n", "unique", true))))
	s.mustRun(t, doc("findAndModify", c, "query", doc("_id", 3), "update", doc("$set", doc("n", 7))))
	s.mustRun(t, doc("create", "empty"))
	s.mustRun(t, doc("insert", "gone", "documents", list(doc())))
	s.mustRun(t, doc("drop", "gone"))
	s.runOn(t, "other", doc("insert", "gone", "documents", list(doc())))
	s.runOn(t, "other", doc("dropDatabase", 1))
	want := dump(t, s)
	stop()

	for restart := range 2 { // the second reads what the first has made of the journal
		s, _, stop := connected(t, mongotest.Config{Dir: dir})
		wantSame(t, fmt.Sprint("restart ", restart), dump(t, s), want)
		wantCode(t, s.run(t, doc("insert", c, "documents", list(doc("_id", 9, "n", 7)))), 11000)
		stop()
	}
}

func journalOf(dir string) string { return filepath.Join(dir, "journal") }

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A process that is killed while it writes leaves the beginning of a record,
// wherever that ends.
func TestABeginningOfTheLastRecordIsDropped(t *testing.T) {
	dir := t.TempDir()
	s, _, stop := connected(t, mongotest.Config{Dir: dir})
	c := s.collection(t, doc("_id", 1))
	whole := readFile(t, journalOf(dir))
	s.mustRun(t, doc("insert", c, "documents", list(doc("_id", 2))))
	torn := readFile(t, journalOf(dir))
	stop()
	for end := len(whole); end < len(torn); end++ {
		if err := os.WriteFile(journalOf(dir), torn[:end], 0o600); err != nil {
			t.Fatal(err)
		}
		srv, err := mongotest.Start(mongotest.Config{Dir: dir})
		if err != nil {
			t.Fatalf("%d of the record's %d bytes: %v", end-len(whole), len(torn)-len(whole), err)
		}
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	}
	// What came before it is there, and new writes are.
	s, _, stop = connected(t, mongotest.Config{Dir: dir})
	wantSame(t, "documents", s.documents(t, c), list(doc("_id", 1)))
	s.mustRun(t, doc("insert", c, "documents", list(doc("_id", 3))))
	stop()
	s, _, stop = connected(t, mongotest.Config{Dir: dir})
	wantSame(t, "documents", s.documents(t, c), list(doc("_id", 1), doc("_id", 3)))
	stop()
}

// Every byte of the file is changed in turn: none may be taken for the end.
func TestADamagedJournalIsAnErrorThatNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	s, _, stop := connected(t, mongotest.Config{Dir: dir})
	s.collection(t, doc("_id", 1), doc("_id", 2))
	sound := readFile(t, journalOf(dir))
	stop()
	for at := range sound {
		damaged := bytes.Clone(sound)
		damaged[at] ^= 0x10
		if err := os.WriteFile(journalOf(dir), damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		srv, err := mongotest.Start(mongotest.Config{Dir: dir})
		if err == nil {
			t.Errorf("byte %d of %d is changed, and it starts", at, len(sound))
			srv.Close()
			continue
		}
		if !strings.Contains(err.Error(), journalOf(dir)) || !strings.Contains(err.Error(), "damaged") {
			t.Fatalf("the error names neither the file nor the fault: %v", err)
		}
		if !bytes.Equal(readFile(t, journalOf(dir)), damaged) {
			t.Fatal("the damaged file was changed")
		}
	}
}

// A restart writes what there is, not how it came to be.
func TestTheJournalDoesNotGrowOverRestarts(t *testing.T) {
	dir := t.TempDir()
	s, _, stop := connected(t, mongotest.Config{Dir: dir})
	c := s.collection(t, doc("_id", 1))
	for i := range 300 {
		s.mustRun(t, doc("update", c, "updates", list(doc("q", doc("_id", 1), "u", doc("$set", doc("a", i))))))
	}
	stop()
	grown := len(readFile(t, journalOf(dir)))
	_, _, stop = connected(t, mongotest.Config{Dir: dir})
	stop()
	if compact := len(readFile(t, journalOf(dir))); compact > 1000 || grown < 10*compact {
		t.Errorf("the journal has %d bytes after a restart, %d before", compact, grown)
	}
}

// An update of a document of a megabyte writes what it changes.
func TestAnUpdateIsJournaledWithoutItsDocument(t *testing.T) {
	dir := t.TempDir()
	s, _, stop := connected(t, mongotest.Config{Dir: dir})
	defer stop()
	c := s.collection(t, doc("_id", 1, "text", strings.Repeat("x", 1<<20)))
	before := len(readFile(t, journalOf(dir)))
	s.mustRun(t, doc("update", c, "updates", list(doc("q", doc("_id", 1), "u", doc("$push", doc("results", "y"))))))
	if n := len(readFile(t, journalOf(dir))) - before; n < 1 || n > 1000 {
		t.Errorf("the update took %d bytes", n)
	}
}

func TestOneServerAtATimeHasAFolder(t *testing.T) {
	dir := t.TempDir()
	first, err := mongotest.Start(mongotest.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if second, err := mongotest.Start(mongotest.Config{Dir: dir}); err == nil {
		second.Close()
		t.Error("two servers have one folder")
	} else if !strings.Contains(err.Error(), "in use by another server") {
		t.Error(err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	second, err := mongotest.Start(mongotest.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
}

// Killed under load, a server has at least what it has acknowledged, and of
// each writer at most one insert more: the one whose reply was cut off.
func TestAKillUnderLoadLosesNothingAcknowledged(t *testing.T) {
	const writers = 8
	dir := t.TempDir()
	srv := start(t, mongotest.Config{Dir: dir})
	acknowledged := make([]int, writers)
	busy := make(chan struct{}, writers)
	var wg sync.WaitGroup
	for w := range writers {
		d, err := connect2(srv.URI() + "?serverSelectionTimeoutMS=100")
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer d.close(ctxOf(t))
			for i := range 1 << 20 {
				raw, err := bson.Marshal(doc("insert", "c", "documents", list(doc("_id", fmt.Sprintf("%d-%07d", w, i), "w", w))))
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := d.run(ctxOf(t), "d", raw); err != nil {
					return
				}
				if acknowledged[w]++; acknowledged[w] == 50 {
					busy <- struct{}{}
				}
			}
		})
	}
	for range writers {
		<-busy
	}
	srv.Kill()
	wg.Wait()
	s, _, stop := connected(t, mongotest.Config{Dir: dir})
	defer stop()
	for w, want := range acknowledged {
		n := at(s.mustRun(t, doc("count", "c", "query", doc("w", w))), "n").(int32)
		if int(n) != want && int(n) != want+1 {
			t.Errorf("writer %d: %d inserts acknowledged, %d there", w, want, n)
		}
	}
}
