package containers_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
)

// compose is the command, in either of its forms; nil where there is none.
func compose() []string {
	if exec.Command("docker", "compose", "version").Run() == nil {
		return []string{"docker", "compose"}
	}
	if exec.Command("docker-compose", "version").Run() == nil {
		return []string{"docker-compose"}
	}
	return nil
}

// The compose file as it ships, with the three variables that it asks for: its workers do a job, and nothing runs beside
// them.
func TestTheComposeFileNeedsThreeVariablesAndStartsOnlyWorkers(t *testing.T) {
	needEngine(t)
	tool := compose()
	if tool == nil {
		if os.Getenv("REQUIRE_CONTAINERS") == "1" {
			t.Fatal("neither docker-compose nor docker compose is installed")
		}
		t.Skip("Neither docker-compose nor docker compose is installed.")
	}
	s := newScene(t)
	// Beside the file are the folders that it mounts by default.
	const file = "docker-compose.worker.yml"
	dir := filepath.Join(s.folder, "cmd", "ocr-worker")
	for _, folder := range []string{"Bhushanji", "newsletters"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	definition, err := os.ReadFile("../../cmd/ocr-worker/" + file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, file), definition, 0o644); err != nil {
		t.Fatal(err)
	}
	s.folder = filepath.Join(dir, "Bhushanji")
	const project = "gvpocr-worker"
	run := func(ctx context.Context, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(ctx, tool[0], slices.Concat(tool[1:], []string{"-p", project, "-f", filepath.Join(dir, file)}, args)...)
		// WORKER_IMAGE names the image under test: the default name is for users.
		cmd.Env = append(os.Environ(), "MAIN_SERVER_IP="+mainServerName, "MONGO_USERNAME="+mongoUser, "MONGO_PASSWORD="+mongoPassword,
			"WORKER_IMAGE="+workerImage)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	id, paths := s.job(12)
	t.Cleanup(func() {
		// Only a network without other containers can be removed.
		_, err := s.engine.NetworkDisconnect(s.cleanupContext(), project+"_default", client.NetworkDisconnectOptions{
			Container: s.server.containers[0].GetContainerID(), Force: true,
		})
		if err != nil {
			t.Error(err)
		}
		run(s.cleanupContext(), "down", "--timeout", "5")
	})
	run(s.ctx, "up", "-d", "--no-build")
	// The workers' network is there only now; until the main server is in it, they wait for it.
	_, err = s.engine.NetworkConnect(s.ctx, project+"_default", client.NetworkConnectOptions{
		Container:      s.server.containers[0].GetContainerID(),
		EndpointConfig: &network.EndpointSettings{Aliases: []string{mainServerName}},
	})
	if err != nil {
		t.Fatal(err)
	}
	job := s.finish(id, paths)
	s.wantShares(job, "worker-1", "worker-2", "worker-3")

	filter := client.Filters{}.Add("network", project+"_default")
	list, err := s.engine.ContainerList(s.ctx, client.ContainerListOptions{All: true, Filters: filter})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range list.Items {
		if c.ID != s.server.containers[0].GetContainerID() {
			names = append(names, strings.TrimPrefix(c.Names[0], "/"))
		}
		if len(c.Ports) > 0 && c.Image == workerImage {
			t.Errorf("%s publishes ports", c.Names[0])
		}
	}
	slices.Sort(names)
	want := []string{"gvpocr-worker-worker1-1", "gvpocr-worker-worker2-1", "gvpocr-worker-worker3-1"}
	if !slices.Equal(names, want) {
		t.Errorf("containers are %q, want %q", names, want)
	}
	for _, c := range list.Items {
		if c.Image != workerImage {
			continue
		}
		info, err := s.engine.ContainerInspect(s.ctx, c.ID, client.ContainerInspectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		host := info.Container.HostConfig
		if !host.ReadonlyRootfs || !slices.Equal(host.CapDrop, []string{"ALL"}) || host.Memory == 0 || host.NanoCPUs == 0 || host.PidsLimit == nil {
			t.Errorf("%s is not confined: read-only %v, without %v, memory %d, CPUs %d, processes %v", c.Names[0], host.ReadonlyRootfs,
				host.CapDrop, host.Memory, host.NanoCPUs, host.PidsLimit)
		}
	}
}
