package source

import (
	"context"
	"io/fs"
	"os"
	"syscall"
)

// Disk is the [Source] of files below the roots: disks, and shares that the system has mounted.
type Disk struct{ roots Roots }

// NewDisk returns a Disk that reads below the roots. They may be mounted later: each Open looks anew.
func NewDisk(r Roots) *Disk { return &Disk{roots: r} }

// Open opens a regular file by the path in a task or the Path of its [Location]. Errors are those of [Roots.Locate].
//
// The file is opened below its root by [os.Root], so a link that takes its place in between does not lead outside. A mounted share that
// hangs makes Open hang: a system call can't be cancelled, and ctx is only asked before.
func (d *Disk) Open(ctx context.Context, path string) (fs.File, error) {
	if err := ctx.Err(); err != nil {
		return nil, &fs.PathError{Op: "open", Path: short(path), Err: context.Cause(ctx)}
	}
	loc, err := d.roots.Locate(path)
	if err != nil {
		return nil, err
	}
	f, err := openBelow(loc)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: loc.Path, Err: unwrapPath(err)}
	}
	return f, nil
}

func openBelow(loc Location) (*os.File, error) {
	root, err := os.OpenRoot(loc.Root)
	if notThere(err) {
		return nil, ErrRootMissing
	}
	if err != nil {
		return nil, err
	}
	defer root.Close()
	// Without O_NONBLOCK the opening of a pipe that has come to stand here would wait for a writer.
	f, err := root.OpenFile(loc.Rel, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil {
		err = checkFile(fi)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
