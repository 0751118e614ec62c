package batch

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gvpocr/worker/ocrworker/pages"
	"github.com/gvpocr/worker/ocrworker/source"
)

// Files are what Scan has found.
type Files struct {
	Paths      []string // sorted, as a task has them: relative to the folders that every worker has, wherever it has them
	OtherKinds int      // files with extensions that are not accepted
	Links      []string // symbolic links that are left out, one sentence each
}

// Scan finds the files of a folder and those below it, or a single file.
//
// A symbolic link to a file stands for what it leads to, as it does for workers: the file is in the job once, by its own
// path, whatever leads to it. Workers key results by that, and count a second link to a file as an error.
func Scan(folder string, roots source.Roots) (Files, error) {
	top, err := filepath.Abs(folder)
	if err == nil {
		top, err = filepath.EvalSymlinks(top)
	}
	if err != nil {
		return Files{}, err
	}
	prefix, err := prefixOf(top, roots)
	if err != nil {
		return Files{}, err
	}
	s := scan{roots: roots, paths: map[string]bool{}}
	var links []string
	err = filepath.WalkDir(top, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.Type()&fs.ModeSymlink != 0:
			links = append(links, name)
			return nil
		case !entry.Type().IsRegular():
			return nil
		}
		rel, err := filepath.Rel(top, name)
		if err != nil {
			return err
		}
		s.add(path.Join(prefix, filepath.ToSlash(rel)))
		return nil
	})
	if err != nil {
		return Files{}, err
	}
	for _, link := range links {
		s.follow(link)
	}
	s.found.Paths = slices.Sorted(maps.Keys(s.paths))
	if len(s.paths) == 0 {
		err = fmt.Errorf("%s holds no file of an accepted kind (%s)", folder, strings.Join(pages.Extensions, " "))
	}
	return s.found, err
}

// scan is the state of one Scan.
type scan struct {
	roots source.Roots
	found Files
	paths map[string]bool
}

// add adds a file, and reports whether it is new.
func (s *scan) add(path string) bool {
	switch {
	case !slices.Contains(pages.Extensions, strings.ToLower(filepath.Ext(path))):
		s.found.OtherKinds++
		return true
	case s.paths[path]:
		return false
	}
	s.paths[path] = true
	return true
}

// follow adds what a link leads to.
func (s *scan) follow(link string) {
	leave := func(format string, args ...any) {
		s.found.Links = append(s.found.Links, link+": "+fmt.Sprintf(format, args...))
	}
	location, err := s.roots.Locate(link)
	if located, ok := errors.AsType[*fs.PathError](err); ok {
		err = located.Err
	}
	switch {
	case errors.Is(err, source.ErrNotFile):
		leave("links are followed to files only, not to folders")
		return
	case errors.Is(err, source.ErrOutside):
		leave("it leads out of the folders that workers read (GVPOCR_PATH, NEWSLETTERS_PATH)")
		return
	case errors.Is(err, fs.ErrNotExist):
		leave("it leads to nothing")
		return
	case err != nil:
		leave("%v", err)
		return
	}
	path, err := prefixOf(location.Path, s.roots)
	if err != nil {
		leave("%v", err)
	} else if !s.add(path) {
		leave("it leads to %s, which is in the job already", path)
	}
}

// prefixOf returns what a task's path of a folder begins with.
func prefixOf(folder string, roots source.Roots) (string, error) {
	deepest, prefix := "", ""
	for _, root := range []struct{ dir, prefix string }{{roots.GVPOCR, "Bhushanji"}, {roots.Newsletters, "newsletters"}} {
		resolved, err := filepath.EvalSymlinks(root.dir)
		if root.dir == "" || err != nil {
			continue // another worker's
		}
		rel, err := filepath.Rel(resolved, folder)
		if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) || len(resolved) < len(deepest) {
			continue
		}
		deepest, prefix = resolved, path.Join(root.prefix, filepath.ToSlash(rel))
	}
	if deepest == "" {
		return "", fmt.Errorf("%s: %w: GVPOCR_PATH is %s and NEWSLETTERS_PATH is %s", folder, errOutside, roots.GVPOCR, roots.Newsletters)
	}
	return prefix, nil
}

var errOutside = errors.New("workers read only below their folders")
