package containers_test

import (
	"testing"
	"time"
)

// threeWorkers starts a job over total pages and the workers of one machine, and waits until they work on it.
func (s *scene) threeWorkers(total int) (id string, paths []string, workers []*worker) {
	s.t.Helper()
	id, paths = s.job(total)
	for _, name := range []string{"worker1", "worker2", "worker3"} {
		workers = append(workers, s.worker(name, nil))
	}
	s.waitCounted(id, 3)
	return id, paths, workers
}

func TestThreeWorkersDoAJob(t *testing.T) {
	s := newScene(t)
	id, paths, workers := s.threeWorkers(30)
	job := s.finish(id, paths)
	s.wantShares(job, "worker1", "worker2", "worker3")
	for _, w := range workers {
		w.wantConfined()
		w.waitHealthy()
		w.stop()
	}
}

// A worker that waits for its main server is healthy: it must not be restarted for that. It is not ready.
func TestAWorkerWithoutAMainServerIsHealthyAndNotReady(t *testing.T) {
	s := newScene(t)
	w := s.worker("worker1", map[string]string{"MAIN_SERVER_IP": "192.0.2.1"})
	w.waitHealthy()
	if said, ok := w.says("health"); !ok {
		t.Errorf("health: %s", said)
	}
	if said, ok := w.says("health", "--ready"); ok {
		t.Errorf("health --ready: %s", said)
	}
}

// A worker whose variables hold addresses needs no name at all. nsqd's own name, which nsqlookupd hands out, means nothing
// in its network.
func TestAWorkerWithLiteralAddressesDoesAJob(t *testing.T) {
	s := newScene(t)
	id, paths := s.job(2)
	ip := s.server.ip()
	s.worker("worker1", map[string]string{
		"MAIN_SERVER_IP":       "",
		"MONGO_URI":            "mongodb://gvpocr_admin:gvp%40123@" + ip + ":27017/gvpocr",
		"NSQD_ADDRESS":         ip + ":4150",
		"NSQLOOKUPD_ADDRESSES": ip + ":4161",
		"GVPOCR_SERVER_URL":    "http://" + ip + ":5000",
	})
	s.finish(id, paths)
}

func TestTheMainServerStopsInMidJob(t *testing.T) {
	s := newScene(t)
	id, paths, workers := s.threeWorkers(30)
	s.server.stop()
	s.passes(5 * time.Second)
	s.server.start()
	s.finish(id, paths)
	for _, w := range workers {
		w.wantSameProcess()
	}
}

func TestTheMainServerFreezesInMidJob(t *testing.T) {
	s := newScene(t)
	id, paths, workers := s.threeWorkers(30)
	s.server.freeze()
	s.passes(12 * time.Second) // longer than nsqd waits for a message and the worker for MongoDB
	s.server.unfreeze()
	s.finish(id, paths)
	for _, w := range workers {
		w.wantSameProcess()
	}
}

func TestTheMainServerMovesInMidJob(t *testing.T) {
	s := newScene(t)
	id, paths, workers := s.threeWorkers(30)
	s.server.move()
	moved := time.Now()
	s.finish(id, paths)
	t.Logf("the job was done %.1f s after the main server was there again", time.Since(moved).Seconds())
	for _, w := range workers {
		w.wantSameProcess()
	}
}

func TestAWorkerIsKilledInMidJob(t *testing.T) {
	s := newScene(t)
	id, paths, workers := s.threeWorkers(30)
	workers[1].kill()
	s.finish(id, paths)
	workers[0].wantSameProcess()
	workers[2].wantSameProcess()
}

func TestWorkersScaleInMidJob(t *testing.T) {
	s := newScene(t)
	id, paths := s.job(40)
	first := s.worker("worker1", nil)
	s.waitCounted(id, 3)
	second, third := s.worker("worker2", nil), s.worker("worker3", nil)
	eventually(t, "all three have recognized a page", func() bool {
		job, err := s.server.backend.Job(s.ctx, id)
		return err == nil && len(shares(job)) == 3
	})
	second.stop()
	third.stop()
	if s.counted(id) == len(paths) {
		t.Error("the job was done before there was one worker again; it is too short")
	}
	job := s.finish(id, paths)
	s.wantShares(job, "worker1", "worker2", "worker3")
	first.wantSameProcess()
}
