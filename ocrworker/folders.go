package ocrworker

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// announceFolders says that a folder is not there or is empty, as one is that was not mounted. The worker goes on: tasks
// wait for the first; the second may get its files yet.
func (w *Worker) announceFolders() {
	for _, f := range []struct{ variable, path string }{
		{"GVPOCR_PATH", w.cfg.Roots.GVPOCR}, {"NEWSLETTERS_PATH", w.cfg.Roots.Newsletters},
	} {
		if f.path == "" {
			continue
		}
		log := w.logger.With("folder", f.path, "variable", f.variable)
		switch err := readable(f.path); {
		case errors.Is(err, fs.ErrNotExist):
			log.Info("the folder is not there; tasks that need it wait for it") // not every worker has both
		case errors.Is(err, io.EOF):
			log.Warn("the folder is empty; is it mounted? Files that tasks look for in it end as errors")
		case err != nil:
			log.Warn("the folder can't be read; is it mounted?", "error", err)
		}
	}
}

// readable returns io.EOF for a folder without entries.
func readable(folder string) error {
	dir, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer dir.Close()
	_, err = dir.Readdirnames(1)
	return err
}
