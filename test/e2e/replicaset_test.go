package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gvpocr/worker/test/backend"
	"github.com/gvpocr/worker/test/mainserver"
	"github.com/gvpocr/worker/test/mongotest"
)

// The members of the replica set announce names that nothing resolves, and the worker's environment names
// mongodb-proxy alone.
func TestAJobOutlivesElectionsOfAReplicaSet(t *testing.T) {
	t.Parallel()
	s := newScene(t, mainserver.Config{Mongo: mongotest.Config{
		ReplicaSet: "rs0", Members: []string{"gvpocr-mongo-0:0", "gvpocr-mongo-1:0", "gvpocr-mongo-2:0"},
	}})
	w := s.worker("worker1")
	w.waitLog("connection successful", "service=mongodb")
	var tasks []backend.Task
	var paths []string
	for i := range 6 {
		paths = append(paths, s.put("notice.gif", fmt.Sprintf("scans/%d.gif", i)))
		tasks = append(tasks, backend.Task{FilePath: fmt.Sprintf("%d.gif", i)})
	}
	job := s.submit(tasks...)
	s.waitCounted(job, 1)
	killed, err := s.server.KillPrimary()
	if err != nil || !strings.HasPrefix(killed, "gvpocr-mongo-0:") {
		t.Errorf("killed %q, %v", killed, err)
	}
	s.waitCounted(job, 3)
	if err := s.server.StepDown(); err != nil {
		t.Error(err)
	}
	if err := s.server.Revive(); err != nil {
		t.Error(err)
	}
	done := s.finish(job)
	s.wantResults(done, paths...)
	for _, r := range done.Checkpoint.Results {
		if r.Retries != 0 {
			t.Errorf("%s: retry_count %d, want 0: an election is no failed try", r.File, r.Retries)
		}
	}
	s.wantBackAtMostOnce(w, len(tasks))
}

// waitCounted waits until a job has n files or more.
func (s *scene) waitCounted(job string, n int) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%d files are counted", n), func() bool {
		j, err := s.backend.Job(s.ctx, job)
		return err == nil && j.ConsumedCount >= n
	})
}
