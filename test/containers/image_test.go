package containers_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"
)

func TestTheImageIsSmallAndSaysWhatItIs(t *testing.T) {
	docker := needEngine(t)
	needImages(t)
	image, err := docker.ImageInspect(context.Background(), workerImage)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%.1f MB in %d layers", float64(image.Size)/1e6, len(image.RootFS.Layers))
	if image.Size > 130e6 {
		t.Errorf("it has %d MB, more than 130", image.Size/1e6)
	}
	if image.Config.User != "10001:10001" {
		t.Errorf("it runs as %q", image.Config.User)
	}
	if image.Config.Healthcheck == nil || !slices.Contains(image.Config.Healthcheck.Test, "health") {
		t.Errorf("its health check is %v", image.Config.Healthcheck)
	}
	for _, label := range []string{"title", "description", "source", "version", "revision", "created"} {
		if image.Config.Labels["org.opencontainers.image."+label] == "" {
			t.Errorf("it has no label org.opencontainers.image.%s", label)
		}
	}
	if _, err := time.Parse(time.RFC3339, image.Config.Labels["org.opencontainers.image.created"]); err != nil {
		t.Error(err)
	}
}

func TestTheImageHoldsNoShellAndNothingThatGivesRights(t *testing.T) {
	docker := needEngine(t)
	needImages(t)
	ctx := context.Background()
	c, err := testcontainers.GenericContainer(ctx, testcontainers.GenericContainerRequest{
		ContainerRequest: testcontainers.ContainerRequest{Image: workerImage},
	})
	testcontainers.CleanupContainer(t, c)
	if err != nil {
		t.Fatal(err)
	}
	export, err := docker.ContainerExport(ctx, c.GetContainerID(), client.ContainerExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer export.Close()
	var programs, licenses, packages []string
	system := false
	for files := tar.NewReader(export); ; {
		file, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		info := file.FileInfo()
		if info.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 {
			t.Errorf("%s gives its owner's rights to who runs it", file.Name)
		}
		if info.Mode().Perm()&0o002 != 0 && info.Mode()&os.ModeSymlink == 0 && !strings.HasPrefix(file.Name, "tmp") && !strings.HasPrefix(file.Name, "dev") {
			t.Errorf("%s can be written by anybody", file.Name)
		}
		// Without the empty files over which the engine mounts its own.
		if info.Mode().IsRegular() && info.Size() > 0 && info.Mode()&0o111 != 0 && !strings.Contains(path.Base(file.Name), ".so") {
			programs = append(programs, file.Name)
		}
		if path.Base(file.Name) == "copyright" {
			licenses = append(licenses, path.Base(path.Dir(file.Name)))
		}
		if path.Dir(file.Name) == "var/lib/dpkg/status.d" {
			packages = append(packages, path.Base(file.Name))
		}
		system = system || file.Name == "etc/os-release" && info.Size() > 0
	}
	want := []string{"usr/bin/ocr-worker", "usr/bin/pdftoppm", "usr/bin/tesseract"}
	slices.Sort(programs)
	if !slices.Equal(programs, want) {
		t.Errorf("its programs are %q, want %q", programs, want)
	}
	for _, name := range []string{"tesseract-ocr", "tesseract-ocr-eng", "poppler-utils", "libc6"} {
		if !slices.Contains(licenses, name) {
			t.Errorf("the license of %s is not with it", name)
		}
		if !slices.Contains(packages, name) {
			t.Errorf("a scanner does not see that %s is in it", name)
		}
	}
	if !system {
		t.Error("it has no os-release, without which a scanner can't tell whose packages they are")
	}
}

// A page of a PDF file that names a font and holds none becomes an image, and the image text, in the confinement of the
// compose file.
func TestPdftoppmAndTesseractRunInTheImage(t *testing.T) {
	needEngine(t)
	needImages(t)
	folder := t.TempDir()
	for name, mode := range map[string]os.FileMode{"in": 0o755, "out": 0o777} {
		if err := os.Mkdir(filepath.Join(folder, name), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(folder, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	const text = "The quick brown fox jumps over the lazy dog"
	if err := os.WriteFile(filepath.Join(folder, "in", "page.pdf"), pdf(text), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(command ...string) (output string, code int) {
		t.Helper()
		c, err := testcontainers.Run(context.Background(), workerImage,
			testcontainers.WithEntrypoint(command...),
			testcontainers.WithTmpfs(map[string]string{"/tmp": "size=64m"}),
			testcontainers.WithWaitStrategyAndDeadline(patience, wait.ForExit()),
			testcontainers.WithHostConfigModifier(func(c *container.HostConfig) {
				c.NetworkMode = "none"
				c.ReadonlyRootfs = true
				c.CapDrop = []string{"ALL"}
				c.Binds = []string{filepath.Join(folder, "in") + ":/in:ro", filepath.Join(folder, "out") + ":/out"}
			}))
		testcontainers.CleanupContainer(t, c)
		if err != nil {
			t.Fatal(err)
		}
		output, err = readLogs(c)
		if err != nil {
			t.Fatal(err)
		}
		state, err := c.State(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return output, state.ExitCode
	}
	for _, c := range []struct {
		command []string
		says    string
		code    int
	}{
		{[]string{"/usr/bin/pdftoppm", "-v"}, `pdftoppm version \d+`, 0},
		{[]string{"/usr/bin/tesseract", "--list-langs"}, `(?s)deu\neng\nfra\nhin\nspa`, 0},
		{[]string{"/usr/bin/pdftoppm", "-r", "150", "-gray", "/in/page.pdf", "/out/page"}, ``, 0},
		{[]string{"/usr/bin/tesseract", "/out/page-1.pgm", "-", "-l", "eng", "--dpi", "150"}, text, 0},
		// What runs there can't leave anything behind.
		{[]string{"/usr/bin/tesseract", "/out/page-1.pgm", "/app/page", "-l", "eng", "txt"}, `Read-only file system`, 0},
	} {
		output, code := run(c.command...)
		if code != c.code || !regexp.MustCompile(c.says).MatchString(output) {
			t.Errorf("%s: code %d, want %d, and it says %q", strings.Join(c.command, " "), code, c.code, output)
		}
	}
}

// pdf is a file of one page with a line of text in Helvetica, which it does not hold.
func pdf(text string) []byte {
	content := fmt.Sprintf("BT /F 20 Tf 60 700 Td (%s) Tj ET", text)
	var b bytes.Buffer
	var offsets []int
	b.WriteString("%PDF-1.4\n")
	for i, object := range []string{
		"<< /Type /Catalog /Pages 2 0 R >>",
		"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F 5 0 R >> >> >>",
		fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", len(content), content),
		"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
	} {
		offsets = append(offsets, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, object)
	}
	table := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(offsets)+1)
	for _, offset := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", offset)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(offsets)+1, table)
	return b.Bytes()
}

// wantConfined checks from outside what the worker's process may do.
func (w *worker) wantConfined() {
	t := w.scene.t
	t.Helper()
	info := w.inspect()
	if !info.HostConfig.ReadonlyRootfs {
		t.Errorf("%s can write to its root file system", w.id)
	}
	if !slices.Contains(info.HostConfig.CapDrop, "ALL") || len(info.HostConfig.CapAdd) > 0 {
		t.Errorf("%s has capabilities: without %v, with %v", w.id, info.HostConfig.CapDrop, info.HostConfig.CapAdd)
	}
	changes, err := w.scene.engine.ContainerDiff(w.scene.ctx, w.container.GetContainerID(), client.ContainerDiffOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range changes.Changes {
		// Where folders are mounted, the engine makes them.
		if change.Path != "/app" && !strings.HasPrefix(change.Path, "/app/") {
			t.Errorf("%s has changed %s", w.id, change.Path)
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", info.State.Pid))
	if err != nil || !bytes.HasPrefix(status, []byte("Name:\tocr-worker\n")) {
		t.Logf("the engine's processes can't be seen from here, so %s's were not looked at", w.id)
		return
	}
	for _, line := range []string{
		`Uid:\s10001\s10001\s10001\s10001`, `Gid:\s10001\s10001\s10001\s10001`, `NoNewPrivs:\s1`, `Seccomp:\s2`,
		`CapInh:\s0+`, `CapPrm:\s0+`, `CapEff:\s0+`, `CapBnd:\s0+`, `CapAmb:\s0+`,
	} {
		if !regexp.MustCompile(`(?m)^` + line + `$`).Match(status) {
			t.Errorf("the process of %s has no line %s in its status:\n%s", w.id, line, status)
		}
	}
}

// A worker works as soon as it is there: three starts, and the shortest counts on a machine that does other things too.
func TestAWorkerConsumesWithinTwoSecondsOfItsStart(t *testing.T) {
	s := newScene(t)
	s.job(1)
	shortest := time.Hour
	for i := range 3 {
		id := fmt.Sprintf("worker%d", i+1)
		w := s.worker(id, nil)
		began, err := time.Parse(time.RFC3339Nano, w.started)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "nsqd has the worker as a consumer", func() bool {
			for _, c := range s.server.queue().Clients {
				if c.ID == id {
					return true
				}
			}
			return false
		})
		took := time.Since(began)
		t.Logf("%s consumes %.2f s after its container's start", id, took.Seconds())
		shortest = min(shortest, took)
		w.stop()
	}
	if shortest > 2*time.Second {
		t.Errorf("it takes %v at least", shortest)
	}
}
