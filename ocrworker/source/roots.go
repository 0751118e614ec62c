package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Roots are the folders that may be read, as absolute paths. Either may be a symbolic link; an empty one is not used.
type Roots struct {
	GVPOCR      string // relative paths, with or without the prefix Bhushanji/
	Newsletters string // relative paths with the prefix newsletters/
}

// Location is where a task's file is, or would be.
type Location struct {
	Path string // absolute and free of symbolic links: the key of the file's result
	Root string // the root that Path lies below, likewise
	Rel  string // Path relative to Root
}

const (
	maxPath = 4096 // Linux: PATH_MAX
	maxName = 255  // Linux: NAME_MAX, likewise on macOS and NTFS
	// maxLinks ends the search where links form a ring; Linux has the same number.
	maxLinks = 40
)

// Locate finds the file that a task's path, or the Path of an earlier Location, names. Errors are of type *[fs.PathError] and wrap
// [ErrPath], [ErrOutside], [ErrNotFile], [ErrRootMissing] or an error of the file system. Nothing outside of the roots is looked at.
//
// As in package path/filepath, ".." is resolved by name, before links.
//
// Together with an error that wraps fs.ErrNotExist the Location is complete, so that another source can be asked and the error has its
// key: links are resolved as far as the path exists. With ErrOutside, Path is the path that was asked for, made absolute.
func (r Roots) Locate(path string) (Location, error) {
	loc, err := r.locate(path)
	if err != nil {
		return loc, &fs.PathError{Op: "locate", Path: short(path), Err: err}
	}
	return loc, nil
}

func (r Roots) locate(path string) (Location, error) {
	if err := checkPath(path); err != nil {
		return Location{}, err
	}
	roots := r.resolve()
	abs, err := roots.absolute(filepath.FromSlash(path))
	if err != nil {
		return Location{Path: abs}, err
	}
	loc, err := roots.follow(abs)
	if errors.Is(err, ErrOutside) {
		return Location{Path: abs}, err
	}
	return loc, err
}

func checkPath(path string) error {
	switch {
	case path == "":
		return fmt.Errorf("%w: it is empty", ErrPath)
	case strings.ContainsRune(path, 0):
		return fmt.Errorf("%w: it holds a NUL byte", ErrPath)
	case len(path) > maxPath:
		return fmt.Errorf("%w: it has %d bytes, more than %d", ErrPath, len(path), maxPath)
	}
	for name := range strings.SplitSeq(path, "/") {
		if len(name) > maxName {
			return fmt.Errorf("%w: a name in it has %d bytes, more than %d", ErrPath, len(name), maxName)
		}
	}
	return nil
}

// short keeps errors readable whatever a task holds.
func short(path string) string {
	const longest = 300
	if len(path) > longest {
		path = path[:longest] + "…"
	}
	return strings.ToValidUTF8(path, "\ufffd")
}

// root is a folder of Roots as it was found now.
type root struct {
	configured string
	real       string // free of symbolic links
	err        error  // why real is not known
}

// rootSet has the two roots in the order gvpocr, newsletters.
type rootSet [2]root

func (r Roots) resolve() rootSet { return rootSet{resolveRoot(r.GVPOCR), resolveRoot(r.Newsletters)} }

func resolveRoot(dir string) root {
	if dir == "" {
		return root{err: fmt.Errorf("%w: it is not configured", ErrRootMissing)}
	}
	if !filepath.IsAbs(dir) {
		return root{err: fmt.Errorf("%w: %s is not an absolute path", ErrRootMissing, dir)}
	}
	r := root{configured: filepath.Clean(dir)}
	r.real, r.err = filepath.EvalSymlinks(r.configured)
	if r.err == nil {
		var fi fs.FileInfo
		if fi, r.err = os.Stat(r.real); r.err == nil && !fi.IsDir() {
			r.err = fmt.Errorf("%w: %s is not a directory", ErrRootMissing, dir)
		}
	}
	if notThere(r.err) {
		r.err = fmt.Errorf("%w: %s", ErrRootMissing, dir)
	}
	return r
}

// absolute turns a task's path into a cleaned absolute one below the real path of a root.
func (rs rootSet) absolute(path string) (string, error) {
	if filepath.IsAbs(path) {
		return rs.below(filepath.Clean(path))
	}
	r, rest := rs[0], path
	if after, ok := strings.CutPrefix(path, filepath.FromSlash("Bhushanji/")); ok {
		rest = after
	} else if after, ok := strings.CutPrefix(path, filepath.FromSlash("newsletters/")); ok {
		r, rest = rs[1], after
	}
	if r.err != nil {
		if r.configured == "" {
			return "", r.err
		}
		return filepath.Join(r.configured, rest), r.err
	}
	abs := filepath.Join(r.real, rest)
	if !within(abs, r.real) {
		return abs, ErrOutside
	}
	return abs, nil
}

// below replaces the root that a cleaned absolute path lies below by its real path.
func (rs rootSet) below(abs string) (string, error) {
	for _, r := range rs {
		if r.configured == "" {
			continue
		}
		if within(abs, r.configured) {
			if r.err != nil {
				return abs, r.err
			}
			return filepath.Join(r.real, abs[len(r.configured):]), nil
		}
		if r.err == nil && within(abs, r.real) {
			return abs, nil
		}
	}
	return abs, ErrOutside
}

// within tells whether the cleaned path is dir or lies below it.
func within(path, dir string) bool {
	rest, ok := strings.CutPrefix(path, dir)
	return ok && (rest == "" || os.IsPathSeparator(rest[0]) || os.IsPathSeparator(dir[len(dir)-1]))
}

// follow resolves the symbolic links of a path that absolute has returned, one component at a time, and starts again where a link leads.
// Unlike filepath.EvalSymlinks it also resolves a path whose end does not exist, and looks at nothing outside of the roots.
func (rs rootSet) follow(abs string) (Location, error) {
	for range maxLinks {
		loc, ok := rs.location(abs)
		if !ok {
			return Location{}, ErrOutside
		}
		link, fi, err := firstLink(loc)
		switch {
		case notThere(err):
			return loc, fs.ErrNotExist
		case err != nil:
			return loc, err
		case link == "":
			return loc, checkFile(fi)
		}
		target, err := os.Readlink(link)
		if err != nil {
			return loc, err
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(link), target) // the folder has no links, so .. in target is its parent
		}
		if abs, err = rs.below(filepath.Join(target, strings.TrimPrefix(loc.Path, link))); err != nil {
			return Location{Path: abs}, err
		}
	}
	return Location{Path: abs}, fmt.Errorf("%w: too many symbolic links", ErrPath)
}

// location splits a path into the real path of a root, the deepest where one holds the other, and the rest.
func (rs rootSet) location(abs string) (loc Location, ok bool) {
	for _, r := range rs {
		if r.err == nil && within(abs, r.real) && len(r.real) > len(loc.Root) {
			loc.Root = r.real
		}
	}
	if loc.Root == "" {
		return loc, false
	}
	rel, err := filepath.Rel(loc.Root, abs)
	return Location{Path: abs, Root: loc.Root, Rel: rel}, err == nil
}

// firstLink returns the first symbolic link among the components below the root; when there is none, what the path names.
func firstLink(loc Location) (link string, fi fs.FileInfo, err error) {
	at := loc.Root
	for name := range strings.SplitSeq(loc.Rel, string(filepath.Separator)) {
		at = filepath.Join(at, name)
		if fi, err = os.Lstat(at); err != nil {
			return "", nil, unwrapPath(err)
		}
		if fi.Mode()&fs.ModeSymlink != 0 {
			return at, nil, nil
		}
	}
	return "", fi, nil
}

func checkFile(fi fs.FileInfo) error {
	switch {
	case fi.IsDir():
		return fmt.Errorf("%w: it is a directory", ErrNotFile)
	case !fi.Mode().IsRegular():
		return fmt.Errorf("%w: it is a device, a pipe or a socket", ErrNotFile)
	}
	return nil
}

// notThere also holds for a path that goes on below a file.
func notThere(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// unwrapPath drops the path from an error that is going to be given another.
func unwrapPath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
