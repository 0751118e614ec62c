package e2e_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/gvpocr/worker/test/backend"
	"github.com/gvpocr/worker/test/mainserver"
)

// badFile is a task whose file ends as a recorded error that has these words.
type badFile struct {
	task  backend.Task
	path  string // under which the error is recorded
	words []string
}

func TestBadFilesEndAsErrorsThatAPersonUnderstandsAndGoodOnesSucceed(t *testing.T) {
	t.Parallel()
	s := newScene(t, mainserver.Config{})
	good := []string{
		s.put("notice.gif", "scans/first.gif"),
		s.write("scans/two-pages.tif", tiffOf(notice(t), notice(t))),
		s.put("notice.gif", "scans/last.gif"),
	}
	bad := s.badFiles()
	var tasks []backend.Task
	for _, path := range []string{"first.gif", "two-pages.tif"} {
		tasks = append(tasks, backend.Task{FilePath: path})
	}
	var badPaths []string
	for _, b := range bad {
		tasks = append(tasks, b.task)
		badPaths = append(badPaths, b.path)
	}
	tasks = append(tasks, backend.Task{FilePath: "Bhushanji/last.gif"})
	w := s.worker("worker1", "LOG_LEVEL=debug")
	job := s.submit(tasks...)
	done := s.finish(job)

	reasons := map[string]string{}
	for _, e := range done.Checkpoint.Errors {
		if reasons[e.FilePath] != "" {
			t.Errorf("%s has two errors", e.FilePath)
		}
		reasons[e.FilePath] = e.Error
	}
	for _, b := range bad {
		reason, ok := reasons[b.path]
		if !ok {
			t.Errorf("no error is recorded for %s", b.path)
			continue
		}
		delete(reasons, b.path)
		for _, word := range b.words {
			if !strings.Contains(reason, word) {
				t.Errorf("%s: the error is %q, which does not say %q", b.path, reason, word)
			}
		}
	}
	for path, reason := range reasons {
		t.Errorf("%s: %s", path, reason)
	}
	done.Checkpoint.Errors = nil
	s.wantResults(done, good...)
	s.wantTwoPages(done)
	if w.logged("level=ERROR") {
		t.Error("bad files are no errors of the worker, and are logged as such")
	}

	document, err := s.backend.Jobs().FindOne(s.ctx, bson.M{"job_id": job}).Raw()
	if err != nil {
		t.Fatal(err)
	}
	wantFields(t, "job", document, jobFields(job, len(tasks), slices.Concat(good, badPaths)))
	errors, err := document.Lookup("checkpoint", "errors").Array().Values()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range errors {
		wantFields(t, "error", e.Document(), errorFields(e.Document().Lookup("file_path").StringValue()))
	}
}

// badFiles makes the files. What must not be read is a page that can be read, so that its text would show, or a pipe, at
// which a reader would wait for ever.
func (s *scene) badFiles() []badFile {
	s.t.Helper()
	half := func(path string) {
		data, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, data[:len(data)/2], 0o644)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(s.root, name) }

	half(s.put("letter.jpg", "scans/half.jpg"))
	half(s.put("memo.tif", "scans/half.tif"))
	s.write("scans/text.png", []byte("Dear Sir or Madam, this is a letter and not an image of one.\n"))
	s.write("scans/empty.jpg", nil)
	s.put("notice.gif", "secrets/absolute.gif")
	s.put("notice.gif", "secrets/dots.gif")
	link := s.put("notice.gif", "secrets/link.gif")
	if err := os.Symlink(link, at("link.gif")); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(s.dir, "secrets"), at("folder-link")); err != nil {
		s.t.Fatal(err)
	}
	s.put("notice.gif", "scans/letter.docx")
	if err := os.Mkdir(at("folder.jpg"), 0o755); err != nil {
		s.t.Fatal(err)
	}
	// Tesseract takes what is no image for a list of images to read.
	for _, pipe := range []string{"pipe.gif", "listed.gif"} {
		if err := syscall.Mkfifo(at(pipe), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	s.write("scans/list.png", []byte(at("listed.gif")+"\n"))
	for _, name := range []string{"provider.gif", "chain.gif", "language.gif", "hostile.gif"} {
		s.put("notice.gif", "scans/"+name)
	}
	s.write("scans/scan.jpg", []byte("%PDF-1.7\n%âãÏÓ\n"))

	return []badFile{
		{backend.Task{FilePath: "half.jpg"}, at("half.jpg"), []string{"half.jpg", "cut off"}},
		{backend.Task{FilePath: "Bhushanji/half.tif"}, at("half.tif"), []string{"half.tif", "cut off"}},
		{backend.Task{FilePath: "text.png"}, at("text.png"), []string{"not an image", "text/plain"}},
		{backend.Task{FilePath: "empty.jpg"}, at("empty.jpg"), []string{"the file is empty"}},
		{backend.Task{FilePath: "missing.jpg"}, at("missing.jpg"), []string{"file not found", at("missing.jpg")}},
		{backend.Task{FilePath: "no/such/folder.jpg"}, at("no/such/folder.jpg"), []string{"file not found"}},
		{backend.Task{FilePath: filepath.Join(s.dir, "secrets/absolute.gif")}, filepath.Join(s.dir, "secrets/absolute.gif"),
			[]string{"outside of the folders that may be read", "GVPOCR_PATH"}},
		{backend.Task{FilePath: "Bhushanji/../secrets/dots.gif"}, filepath.Join(s.dir, "secrets/dots.gif"), []string{"outside of the folders"}},
		{backend.Task{FilePath: "link.gif"}, at("link.gif"), []string{"outside of the folders"}},
		{backend.Task{FilePath: "folder-link/link.gif"}, at("folder-link/link.gif"), []string{"outside of the folders"}},
		{backend.Task{FilePath: "letter.docx"}, at("letter.docx"), []string{"extension", ".jpg", ".webp"}},
		{backend.Task{FilePath: "folder.jpg"}, at("folder.jpg"), []string{"it is a directory"}},
		{backend.Task{FilePath: "pipe.gif"}, at("pipe.gif"), []string{"not a regular file"}},
		{backend.Task{FilePath: "list.png"}, at("list.png"), []string{"not an image"}},
		{backend.Task{FilePath: "scan.jpg"}, at("scan.jpg"), []string{"PDF files are not supported"}},
		{backend.Task{FilePath: "provider.gif", Provider: "google_vision"}, at("provider.gif"), []string{`provider "google_vision" is not on`, "tesseract"}},
		{backend.Task{FilePath: "chain.gif", ProcessingMode: "chain"}, at("chain.gif"), []string{`processing_mode "chain"`, "single"}},
		{backend.Task{FilePath: "language.gif", Languages: []string{"en", "tlh"}}, at("language.gif"), []string{`language "tlh" is not installed`, "eng"}},
		{backend.Task{FilePath: "hostile.gif", Languages: []string{"../eng; ls"}}, at("hostile.gif"), []string{"is not a code that tesseract knows"}},
	}
}

func (s *scene) wantTwoPages(done backend.Job) {
	s.t.Helper()
	for _, r := range done.Checkpoint.Results {
		if r.File != "two-pages.tif" {
			s.errorRateIsLow("notice.gif", r)
			continue
		}
		first, second, ok := strings.Cut(r.Text, "\n\n--- Page 2 ---\n")
		first, begins := strings.CutPrefix(first, "--- Page 1 ---\n")
		if !ok || !begins {
			s.t.Errorf("the text of two pages has no lines that part them:\n%s", r.Text)
		}
		for _, page := range []string{first, second} {
			r.Text = page
			s.errorRateIsLow("notice.gif", r)
		}
	}
}
