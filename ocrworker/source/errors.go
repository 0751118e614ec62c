package source

import "errors"

// What the *fs.PathError of Locate and Open wraps beside fs.ErrNotExist, fs.ErrPermission and errors of I/O.
var (
	// ErrPath: the path is empty, too long, or holds a NUL byte. No try will help.
	ErrPath = errors.New("not a path of a file")

	// ErrOutside: the path, or a symbolic link on it, leads out of the folders that may be read. No try will help.
	ErrOutside = errors.New("outside of the folders that may be read (GVPOCR_PATH, NEWSLETTERS_PATH)")

	// ErrNotFile: a directory, a device, a pipe or a socket. No try will help.
	ErrNotFile = errors.New("not a regular file")

	// ErrRootMissing: a root itself is not there, as when a share is not mounted. It says nothing about the file, so it does not wrap
	// fs.ErrNotExist: wait, or mount the share.
	ErrRootMissing = errors.New("root folder is missing (is its share mounted?)")
)
