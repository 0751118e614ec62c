package batch

import (
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gvpocr/worker/ocrworker/source"
)

// usual are the folders of a worker whose environment does not say otherwise.
var usual = source.Roots{GVPOCR: "/app/Bhushanji", Newsletters: "/app/newsletters"}

// original is what the task of a failed file said.
type original struct {
	path    string
	index   int
	certain bool // index is that of the task, not one that was left
	foreign bool // path is that of the worker that failed, which others may not have
}

// originals finds out what the tasks of failed files said; it returns as many. An error in a job's document has the
// absolute path that the file had where it failed, and no index. Where submit noted the paths of the tasks, they say both.
// Else the path is made relative to a folder that is known, and the indexes that are left are given in the order of the
// paths: that in which indexes were given if the job's files were sorted.
func (j Job) originals(failed []Failed, roots source.Roots) []original {
	found := make([]original, len(failed))
	free := j.freeIndexes()
	noted := j.noted(free)
	left := map[int]bool{} // of failed
	for i, f := range failed {
		found[i].path, found[i].foreign = relative(f.Path, roots)
		left[i] = true
	}
	take := func(i, index int) {
		found[i] = original{path: j.TaskPaths[index], index: index, certain: true}
		delete(left, i)
		free = slices.DeleteFunc(free, func(other int) bool { return other == index })
		name := path.Base(j.TaskPaths[index])
		noted[name] = slices.DeleteFunc(noted[name], func(other int) bool { return other == index })
	}
	for i, o := range found {
		for _, index := range noted[path.Base(o.path)] {
			if j.TaskPaths[index] == o.path {
				take(i, index)
				break
			}
		}
	}
	// What one file takes may leave another with one choice.
	for before := len(left) + 1; len(left) < before; {
		before = len(left)
		for i := range failed {
			if !left[i] {
				continue
			}
			var fits []int
			for _, index := range noted[path.Base(failed[i].Path)] {
				if mayBe(failed[i].Path, j.TaskPaths[index]) {
					fits = append(fits, index)
				}
			}
			if len(fits) == 1 {
				take(i, fits[0])
			}
		}
	}
	if len(left) == 1 && len(free) == 1 && j.AllFinished() {
		for i := range left {
			found[i].certain = true
		}
	}
	more := j.Total // more errors than files: one of them is an error that another worker wrote twice
	for _, i := range slices.Sorted(maps.Keys(left)) {
		if len(free) > 0 {
			found[i].index, free = free[0], free[1:]
		} else {
			found[i].index = more
			more++
		}
	}
	return found
}

// noted returns those of some indexes for which the document has the path of the task, by the base name of that.
func (j Job) noted(indexes []int) map[string][]int {
	noted := map[string][]int{}
	for _, index := range indexes {
		if index < len(j.TaskPaths) {
			name := path.Base(j.TaskPaths[index])
			noted[name] = append(noted[name], index)
		}
	}
	return noted
}

// mayBe reports whether a task's path can have led to an absolute one, whatever folder the worker had.
func mayBe(absolute, task string) bool {
	for _, prefix := range []string{"Bhushanji/", "newsletters/"} {
		if rest, ok := strings.CutPrefix(task, prefix); ok {
			return strings.HasSuffix(absolute, "/"+rest)
		}
	}
	return absolute == task || strings.HasSuffix(absolute, "/"+task)
}

// relative returns a path as every worker has it, if it lies below a folder that is known.
func relative(absolute string, roots source.Roots) (task string, foreign bool) {
	if !filepath.IsAbs(absolute) {
		return absolute, false // its worker could not even make it absolute
	}
	if task, err := prefixOf(absolute, roots); err == nil {
		return task, false
	}
	for _, r := range []source.Roots{roots, usual} { // here they may not exist
		if task, ok := below(absolute, r.GVPOCR, "Bhushanji"); ok {
			return task, false
		}
		if task, ok := below(absolute, r.Newsletters, "newsletters"); ok {
			return task, false
		}
	}
	return absolute, true
}

func below(absolute, folder, prefix string) (string, bool) {
	rest, ok := strings.CutPrefix(absolute, filepath.Clean(folder)+"/")
	return path.Join(prefix, rest), ok && folder != ""
}
