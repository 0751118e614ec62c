package containers_test

import (
	"io"
	"maps"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/exec"
	tcnetwork "github.com/testcontainers/testcontainers-go/network"
)

// worker is a container of the worker's image.
type worker struct {
	scene     *scene
	id        string
	container testcontainers.Container
	started   string // when the container started, by the engine
}

// environment is what a compose file of today gives a worker, with the line that it gains.
func environment(id string) map[string]string {
	return map[string]string{
		"MAIN_SERVER_IP":       mainServerName,
		"MONGO_URI":            "mongodb://gvpocr_admin:gvp%40123@mongodb-proxy:27017/gvpocr",
		"NSQD_ADDRESS":         "nsqd-proxy:4150",
		"NSQLOOKUPD_ADDRESSES": "nsqlookupd-proxy:4161",
		"GVPOCR_SERVER_URL":    "http://backend-proxy:5000",
		"USE_NSQ":              "true",
		"WORKER_ID":            id,
		"TESSERACT_ENABLED":    "true",
		"TESSERACT_CMD":        "/usr/bin/tesseract",
		"DEFAULT_OCR_PROVIDER": "tesseract",
		"GVPOCR_PATH":          inContainer,
		"NEWSLETTERS_PATH":     "/app/newsletters",
	}
}

// worker starts one, as confined as the compose file has it.
func (s *scene) worker(id string, env map[string]string) *worker {
	s.t.Helper()
	all := environment(id)
	maps.Copy(all, env)
	c, err := testcontainers.Run(s.ctx, workerImage, testcontainers.WithEnv(all),
		tcnetwork.WithNetwork(nil, s.outside),
		testcontainers.WithTmpfs(map[string]string{"/tmp": "size=256m"}),
		testcontainers.WithHostConfigModifier(func(c *container.HostConfig) {
			c.NetworkMode = container.NetworkMode(s.outside.Name)
			c.ReadonlyRootfs = true
			c.CapDrop = []string{"ALL"}
			c.SecurityOpt = []string{"no-new-privileges:true"}
			c.Binds = []string{s.folder + ":" + inContainer + ":ro"}
		}))
	w := &worker{scene: s, id: id, container: c}
	testcontainers.CleanupContainer(s.t, c, testcontainers.StopTimeout(time.Second))
	s.t.Cleanup(func() {
		if c != nil && s.t.Failed() {
			logs(s.t, id, c)
		}
	})
	if err != nil {
		s.t.Fatalf("start %s: %v", id, err)
	}
	w.started = w.inspect().State.StartedAt
	return w
}

func (w *worker) inspect() *container.InspectResponse {
	w.scene.t.Helper()
	info, err := w.container.Inspect(w.scene.ctx)
	if err != nil {
		w.scene.t.Fatal(err)
	}
	return info
}

// waitHealthy waits for what the image's health check says.
func (w *worker) waitHealthy() {
	w.scene.t.Helper()
	eventually(w.scene.t, w.id+" is healthy", func() bool {
		health := w.inspect().State.Health
		return health != nil && health.Status == container.Healthy
	})
}

// says runs a command of the worker's program beside it, and tells whether it ended well.
func (w *worker) says(command ...string) (output string, ok bool) {
	w.scene.t.Helper()
	code, out, err := w.container.Exec(w.scene.ctx, append([]string{"/usr/bin/ocr-worker"}, command...), exec.Multiplexed())
	if err != nil {
		w.scene.t.Fatal(err)
	}
	text, err := io.ReadAll(out)
	if err != nil {
		w.scene.t.Fatal(err)
	}
	return string(text), code == 0
}

// wantSameProcess checks that the container runs as it was started.
func (w *worker) wantSameProcess() {
	w.scene.t.Helper()
	info := w.inspect()
	if !info.State.Running || info.RestartCount != 0 || info.State.StartedAt != w.started {
		w.scene.t.Errorf("%s was restarted, or has ended: running %v, started %s and then %s", w.id, info.State.Running, w.started,
			info.State.StartedAt)
	}
}

// stop ends the container as Docker does, and checks that the worker has ended well within the time that Docker gives it.
func (w *worker) stop() {
	w.scene.t.Helper()
	timeout := 10 * time.Second
	if err := w.container.Stop(w.scene.ctx, &timeout); err != nil {
		w.scene.t.Fatal(err)
	}
	if code := w.inspect().State.ExitCode; code != 0 {
		w.scene.t.Errorf("%s ended with code %d", w.id, code)
	}
}

// kill ends the container as the kernel does when memory runs out.
func (w *worker) kill() {
	w.scene.t.Helper()
	if _, err := w.scene.engine.ContainerKill(w.scene.ctx, w.container.GetContainerID(), client.ContainerKillOptions{Signal: "KILL"}); err != nil {
		w.scene.t.Fatal(err)
	}
}
