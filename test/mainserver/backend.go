package mainserver

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

// backend is the part of the REST backend that workers use: POST /api/files/download.
type backend struct {
	server *http.Server
	serve  sync.WaitGroup
}

func (s *Server) startBackend() (service, error) {
	listener, err := net.Listen("tcp", cmp.Or(hostOf(s.BackendURL), s.cfg.backendAddr, anyPort))
	if err != nil {
		return nil, err
	}
	s.BackendURL = "http://" + listener.Addr().String()
	mux := http.NewServeMux()
	mux.Handle("POST /api/files/download", download{s.cfg.Files})
	b := &backend{server: &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}}
	b.serve.Go(func() { _ = b.server.Serve(listener) }) // returns ErrServerClosed, after stop
	return b, nil
}

func (b *backend) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := b.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, b.server.Close())
	}
	b.serve.Wait()
	return err
}

// download answers as the backend does: 200 with the file's bytes; 200 with zero bytes for a file that it does not
// have; 400, 403 or 500 with {"error": …}.
type download struct{ files fs.FS }

func (d download) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var request struct {
		FilePath string `json:"file_path"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&request); err != nil || request.FilePath == "" {
		refuse(w, http.StatusBadRequest, "file_path is required")
		return
	}
	name := path.Clean(strings.TrimPrefix(request.FilePath, "/"))
	if !fs.ValidPath(name) {
		refuse(w, http.StatusForbidden, "Access denied")
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if d.files == nil {
		return
	}
	file, err := d.files.Open(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return
	case err != nil:
		refuse(w, http.StatusInternalServerError, "the file can't be opened")
		return
	}
	defer file.Close()
	_, _ = io.Copy(w, file) // a reader that is gone is nobody's loss
}

func refuse(w http.ResponseWriter, status int, reason string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": reason}) // a reader that is gone is nobody's loss
}
