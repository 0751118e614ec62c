// Package source finds the file that a task names.
//
// A [Source] opens it: from a disk, a server, a share. [Roots] says where a task's path lies, and keeps it below the folders that
// may be read.
package source

import (
	"context"
	"io/fs"
)

// Source opens files by the path in a task. Implementations are safe for concurrent use.
//
// An error that wraps fs.ErrNotExist means that the source does not have the file: ask the next.
type Source interface {
	Open(ctx context.Context, path string) (fs.File, error)
}
