package containers_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/testcontainers/testcontainers-go"
)

// The images' names are fixed and the images are kept: the next run finds their layers.
const (
	workerImage = "gvpocr-worker:test"
	serverImage = "gvpocr-mainserver:test"
)

// The image is built as it is for users.
var buildWorker = sync.OnceValue(func() error {
	docker, err := engine()
	if err != nil {
		return err
	}
	cmd := exec.Command("../../cmd/ocr-worker/image/build", workerImage, "--quiet")
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+docker.DaemonHost()) // the one that the tests found
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the worker's image: %w\n%s", err, out)
	}
	return nil
})

// The main server's image holds one static program.
var buildServer = sync.OnceValue(func() error {
	dir, err := os.MkdirTemp("", "containers")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "mainserver")
	cmd := exec.Command("go", "build", "-o", program, "github.com/gvpocr/worker/test/mainserver/cmd")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the main server: %w\n%s", err, out)
	}
	binary, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	return buildImage(serverImage, map[string][]byte{
		"Dockerfile": []byte("FROM scratch\nCOPY mainserver /mainserver\nENTRYPOINT [\"/mainserver\"]\n"),
		"mainserver": binary,
	})
})

// buildImage builds an image of these files, and keeps it.
func buildImage(name string, files map[string][]byte) error {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for file, data := range files {
		if err := w.WriteHeader(&tar.Header{Name: file, Mode: 0o755, Size: int64(len(data))}); err != nil {
			return err
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	provider, err := testcontainers.NewDockerProvider()
	if err != nil {
		return err
	}
	defer provider.Close()
	repository, tag, _ := strings.Cut(name, ":")
	_, err = provider.BuildImage(context.Background(), &testcontainers.ContainerRequest{FromDockerfile: testcontainers.FromDockerfile{
		ContextArchive: bytes.NewReader(archive.Bytes()), Repo: repository, Tag: tag, KeepImage: true,
	}})
	return err
}

func needImages(t *testing.T) {
	t.Helper()
	for _, build := range []func() error{buildWorker, buildServer} {
		if err := build(); err != nil {
			t.Fatal(err)
		}
	}
}
