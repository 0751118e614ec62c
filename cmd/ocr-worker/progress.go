package main

import (
	"io"
	"os"

	"github.com/cheggaaa/pb/v3"
	"github.com/mattn/go-isatty"
	"golang.org/x/term"
)

// newBar starts a progress bar on a terminal, and returns nil where lines are better: elsewhere, and on a terminal that does
// not say how wide it is.
func newBar(out io.Writer, template string) *pb.ProgressBar {
	f, ok := out.(*os.File)
	if !ok || !isatty.IsTerminal(f.Fd()) {
		return nil
	}
	if width, _, err := term.GetSize(int(f.Fd())); err != nil || width == 0 {
		return nil
	}
	return pb.New(0).SetTemplateString(template).SetWriter(f).Start()
}
