package main

import (
	"fmt"
	"io"
)

// checkedWriter remembers the first error of writing, for printers that have no way to return one.
type checkedWriter struct {
	out io.Writer
	err error
}

func (w *checkedWriter) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.out.Write(p)
	w.err = err
	return n, err
}

// printed lets write print to out, and returns the error of writing: what nobody could read must not end well.
func printed(out io.Writer, write func(io.Writer)) error {
	w := &checkedWriter{out: out}
	write(w)
	if w.err != nil {
		return fmt.Errorf("the output can't be written: %w", w.err)
	}
	return nil
}
