// Package docs holds the tests that keep the README true and the packages apart.
package docs

import (
	"go/format"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gvpocr/worker/internal/services"
	"github.com/gvpocr/worker/internal/settings"
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheReadmesProgramCompiles(t *testing.T) {
	_, rest, _ := strings.Cut(read(t, "README.md"), "```go\n")
	program, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("the README has no program")
	}
	formatted, err := format.Source([]byte(program))
	if err != nil || string(formatted) != program {
		t.Errorf("the README's program is not formatted: %v", err)
	}
	dir, err := os.MkdirTemp(".", "readme") // inside the module, whose dependencies it uses
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(dir+"/main.go", []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "vet", "./"+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestTheReadmesTableHasEverySettingAndNoOther(t *testing.T) {
	want := slices.Clone(settings.Names)
	tag := regexp.MustCompile("`env:\"([A-Z_]+)")
	for _, file := range []string{"dialer/config.go", "ocrworker/config.go"} {
		for _, match := range tag.FindAllStringSubmatch(read(t, file), -1) {
			want = append(want, match[1])
		}
	}
	want = append(want, "MAIN_SERVER_IP", "DIAL_<NAME>")
	want = append(want, services.FileVariables...)
	_, table, _ := strings.Cut(read(t, "README.md"), "## Settings")
	table, _, _ = strings.Cut(table, "\n## ")
	var got []string
	name := regexp.MustCompile("`([A-Z_<>]+)`")
	for line := range strings.Lines(table) {
		if cell, _, ok := strings.Cut(strings.TrimPrefix(line, "|"), "|"); ok && strings.HasPrefix(line, "| `") {
			for _, match := range name.FindAllStringSubmatch(cell, -1) {
				got = append(got, match[1])
			}
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(slices.Compact(want), got); diff != "" {
		t.Errorf("settings (-code +README):\n%s", diff)
	}
}

func TestTheReadmesCommandsExist(t *testing.T) {
	readme := read(t, "README.md")
	for _, command := range []string{"./test/quickstart/run", "./test/run"} {
		if !strings.Contains(readme, "\n"+command) {
			t.Errorf("the README does not show %s", command)
		}
		if info, err := os.Stat("../../" + command); err != nil || info.Mode()&0o111 == 0 {
			t.Errorf("%s can't be run: %v", command, err)
		}
	}
}

func TestTheReadmesProgramCanBeInstalled(t *testing.T) {
	const install = "go install ./cmd/ocr-worker"
	if !strings.Contains(read(t, "README.md"), "\n```sh\n"+install+"\n```\n") {
		t.Fatalf("the README does not show %q", install)
	}
	cmd := exec.Command("sh", "-c", install)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "GOBIN="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// forbidden says what a package must not bring into a build, and why.
var forbidden = []struct{ pkg, dependency, reason string }{
	{"resolve", "github.com/gvpocr/worker/dialer", "resolve is what dialer builds on"},
	{"resolve", "github.com/nsqio", "who resolves names does not pay for NSQ"},
	{"resolve", "go.mongodb.org", "nor for MongoDB's driver"},
	{"resolve", "github.com/caarlos0", "nor for the environment's parser"},
	{"dialer", "github.com/nsqio", "who dials does not pay for NSQ: that is dialer/nsqdial"},
	{"dialer", "go.mongodb.org", "nor for MongoDB's driver"},
	{"dialer", "golang.org/x/image", "nor for OCR"},
	{"dialer", "github.com/gvpocr/worker/ocrworker", "dialer is what the worker builds on"},
	{"dialer", "github.com/gvpocr/worker/test", "test servers stay in the module of tests"},
	{"dialer/nsqdial", "go.mongodb.org", "NSQ does not need MongoDB's driver"},
	{"dialer/nsqdial", "github.com/gvpocr/worker/ocrworker", "nsqdial is what the worker builds on"},
	{"ocrworker/...", "github.com/spf13", "the command line is cmd's"},
	{"ocrworker/ocr", "go.mongodb.org", "an engine knows nothing of where results go"},
	{"cmd/...", "github.com/gvpocr/worker/test", "the worker ships without test servers"},
	{"cmd/...", "github.com/nsqio/nsq/", "the worker ships without nsqd"},
}

func TestPackagesDoNotBringInWhatTheirImportersDoNotNeed(t *testing.T) {
	for _, f := range forbidden {
		out, err := exec.Command("go", "list", "-deps", "github.com/gvpocr/worker/"+f.pkg).Output()
		if err != nil {
			t.Fatal(err)
		}
		for dependency := range strings.Lines(string(out)) {
			if strings.HasPrefix(strings.TrimSpace(dependency), f.dependency) {
				t.Errorf("%s imports %s: %s", f.pkg, strings.TrimSpace(dependency), f.reason)
			}
		}
	}
}
