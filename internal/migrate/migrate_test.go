package migrate_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/gvpocr/worker/internal/migrate"
)

var update = flag.Bool("update", false, "write what is said and made into the test data")

// file is a case: a compose file with what is beside it, and what becomes of it.
type file struct {
	t       *testing.T
	path    string
	archive *txtar.Archive
	dir     string
}

func open(t *testing.T, path string) *file {
	t.Helper()
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f := &file{t, path, archive, t.TempDir()}
	for _, part := range archive.Files {
		if err := os.WriteFile(filepath.Join(f.dir, part.Name), part.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func (f *file) part(name string) []byte {
	for _, part := range f.archive.Files {
		if part.Name == name {
			return part.Data
		}
	}
	return nil
}

// want compares what was made with a part of the archive.
func (f *file) want(name string, got []byte) {
	f.t.Helper()
	if *update {
		for i, part := range f.archive.Files {
			if part.Name == name {
				f.archive.Files = append(f.archive.Files[:i], f.archive.Files[i+1:]...)
				break
			}
		}
		f.archive.Files = append(f.archive.Files, txtar.File{Name: name, Data: got})
		if err := os.WriteFile(f.path, txtar.Format(f.archive), 0o600); err != nil {
			f.t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(f.part(name)), string(got)); diff != "" {
		f.t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func (f *file) migrate() (migrate.Result, error) {
	return migrate.File(f.t.Context(), filepath.Join(f.dir, "compose.yml"), f.part("compose.yml"), migrate.Options{Image: strings.TrimSpace(string(f.part("image"))), Takes: takes})
}

// takes knows today's flags.
func takes(command []string) error {
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.String("worker-id", "", "")
	lookupd := flags.String("nsqlookupd", "", "")
	err := flags.Parse(command)
	if err == nil && flags.NArg() > 0 && *lookupd == "" {
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return err
}

func each(t *testing.T, folder string, test func(t *testing.T, f *file)) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", folder, "*.txtar"))
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) { test(t, open(t, path)) })
	}
}

func TestProxiesAreReplacedByLinesAndNothingElseChanges(t *testing.T) {
	each(t, "accepted", func(t *testing.T, f *file) {
		result, err := f.migrate()
		if err != nil {
			t.Fatal(err)
		}
		said := strings.Join(result.Changes, "\n") + "\n"
		for _, note := range result.Notes {
			said += "note: " + note + "\n"
		}
		f.want("says.txt", []byte(migrate.Mask(said)))
		f.want("want.yml", result.Text)
		if bytes.Contains(result.Text, []byte("socat")) && f.path != "testdata/accepted/05-anchors.txtar" {
			t.Errorf("socat is left:\n%s", result.Text)
		}
		// What is migrated has nothing left to be migrated.
		again := &file{f.t, f.path, &txtar.Archive{Files: []txtar.File{{Name: "compose.yml", Data: result.Text}}}, f.dir}
		if _, err := again.migrate(); !errors.Is(err, migrate.ErrNoProxy) {
			t.Errorf("once more: %v", err)
		}
	})
}

// The loader is that of compose's second version; the first may be what a worker machine has.
func TestDockerComposeTakesWhatIsMigrated(t *testing.T) {
	compose, err := exec.LookPath("docker-compose")
	if err != nil {
		t.Skip("docker-compose is not installed")
	}
	each(t, "accepted", func(t *testing.T, f *file) {
		t.Parallel()
		cmd := exec.CommandContext(t.Context(), compose, "-f", "want.yml", "config", "--quiet")
		cmd.Dir = f.dir
		cmd.Env = append(os.Environ(), "MONGO_PASSWORD=x", "LOOKUPD_HOST=main.example.org", "MAIN_SERVER=10.0.0.1", "MONGO_PORT=37017", "TAG=1",
			"WORKER_CPUS=2")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

func TestWhatIsNotUnderstoodIsRefusedWithAReason(t *testing.T) {
	each(t, "refused", func(t *testing.T, f *file) {
		result, err := f.migrate()
		if err == nil {
			t.Fatalf("it is accepted:\n%s", result.Text)
		}
		f.want("reason.txt", []byte(err.Error()+"\n"))
		if strings.Contains(err.Error(), "gvp%40123") {
			t.Error("it shows a password")
		}
	})
}

func TestTheEnvironmentGoesBeforeTheFileBesideIt(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const text = `services:
  mongodb-proxy:
    image: ${SOCAT}
    command: TCP-LISTEN:27017,fork TCP:10.0.0.1:27017
  worker1:
    image: gvpocr-worker
    environment:
      NSQD_ADDRESS: nsqd.example.org:4150
      MONGO_URI:
`
	write(".env", "SOCAT=other/image\nMONGO_URI=mongodb://${HOST}/gvpocr\nHOST=elsewhere\n")
	if _, err := migrate.File(t.Context(), filepath.Join(dir, "compose.yml"), []byte(text), migrate.Options{}); !errors.Is(err, migrate.ErrNoProxy) {
		t.Errorf("by .env it has no proxy: %v", err)
	}
	// What .env is made of comes from the environment, too.
	environ := []string{"SOCAT=alpine/socat", "HOST=mongodb-proxy"}
	result, err := migrate.File(t.Context(), filepath.Join(dir, "compose.yml"), []byte(text), migrate.Options{Environ: environ})
	if err != nil || !strings.Contains(string(result.Text), "      MAIN_SERVER_IP: 10.0.0.1\n      NSQD_ADDRESS: nsqd.example.org:4150\n      MONGO_URI:\n") {
		t.Errorf("%v\n%s", err, result.Text)
	}
}

func TestWindowsLineEndsStay(t *testing.T) {
	f := open(t, "testdata/accepted/today.txtar")
	text := bytes.ReplaceAll(f.part("compose.yml"), []byte("\n"), []byte("\r\n"))
	result, err := migrate.File(t.Context(), filepath.Join(f.dir, "compose.yml"), text, migrate.Options{})
	if want := bytes.ReplaceAll(f.part("want.yml"), []byte("\n"), []byte("\r\n")); err != nil || !bytes.Equal(result.Text, want) {
		t.Errorf("%v\n%q", err, result.Text)
	}
}

// Whatever a file holds, it is migrated to one that has nothing more to migrate, or refused.
func FuzzFile(f *testing.F) {
	for _, folder := range []string{"accepted", "refused"} {
		paths, err := filepath.Glob(filepath.Join("testdata", folder, "*.txtar"))
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				f.Fatal(err)
			}
			for _, part := range archive.Files {
				if part.Name == "compose.yml" {
					f.Add(part.Data)
				}
			}
		}
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		result, err := migrate.File(t.Context(), filepath.Join(dir, "compose.yml"), text, migrate.Options{Image: "new", Takes: takes})
		if err != nil {
			return
		}
		if _, err := migrate.File(t.Context(), filepath.Join(dir, "compose.yml"), result.Text, migrate.Options{Image: "new", Takes: takes}); !errors.Is(err, migrate.ErrNoProxy) {
			t.Errorf("%v: from\n%s\nto\n%s", err, text, result.Text)
		}
	})
}

func TestPasswordsAreMasked(t *testing.T) {
	for text, want := range map[string]string{
		"MONGO_URI: mongodb://u:p@ss@host:1/db":                 "MONGO_URI: mongodb://u:****@host:1/db",
		"+      MONGO_PASSWORD: gvp@123":                        "+      MONGO_PASSWORD: ****",
		"  - MONGO_PASSWORD=gvp@123":                            "  - MONGO_PASSWORD=****",
		`  - "SAMBA_PASS=x y"`:                                  `  - "SAMBA_PASS=****`,
		"OPENAI_API_KEY: sk-1":                                  "OPENAI_API_KEY: ****",
		"NSQ_AUTH_SECRET=abc":                                   "NSQ_AUTH_SECRET=****",
		"command: serve --password hunter2 --port 1":            "command: serve --password **** --port 1",
		"MONGO_PASSWORD: ${MONGO_PASSWORD:-gvp@123}":            "MONGO_PASSWORD: ****",
		"GVPOCR_PATH: /app":                                     "GVPOCR_PATH: /app",
		"NSQD_ADDRESS: nsqd-proxy:4150":                         "NSQD_ADDRESS: nsqd-proxy:4150",
		"- ./passages:/app/passages":                            "- ./passages:/app/passages",
		"image: registry.example.org/compass:1":                 "image: registry.example.org/compass:1",
		"mongodb://${U:-a}:${P:?x}@mongodb-proxy:27017/gvpocr ": "mongodb://${U:-a}:****@mongodb-proxy:27017/gvpocr ",
	} {
		if got := migrate.Mask(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
