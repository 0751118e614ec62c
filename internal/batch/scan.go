package batch

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gvpocr/worker/ocrworker/pages"
	"github.com/gvpocr/worker/ocrworker/source"
)

// Scan returns the files of a folder and those below it, or a single file, sorted, by the paths that a task has for them: relative to the
// folders that every worker has, wherever it has them. Symbolic links are not followed. left is how many files have
// extensions that are not accepted.
func Scan(folder string, roots source.Roots) (paths []string, left int, err error) {
	top, err := filepath.Abs(folder)
	if err == nil {
		top, err = filepath.EvalSymlinks(top)
	}
	if err != nil {
		return nil, 0, err
	}
	prefix, err := prefixOf(top, roots)
	if err != nil {
		return nil, 0, err
	}
	err = filepath.WalkDir(top, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !entry.Type().IsRegular():
			return nil
		case !slices.Contains(pages.Extensions, strings.ToLower(filepath.Ext(name))):
			left++
			return nil
		}
		rel, err := filepath.Rel(top, name)
		if err != nil {
			return err
		}
		paths = append(paths, path.Join(prefix, filepath.ToSlash(rel)))
		return nil
	})
	if err == nil && len(paths) == 0 {
		err = fmt.Errorf("%s holds no file of an accepted kind (%s)", folder, strings.Join(pages.Extensions, " "))
	}
	slices.Sort(paths)
	return paths, left, err
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
