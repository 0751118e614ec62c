// Package printable makes what servers say fit to be shown: on a terminal it could color, move the cursor, or look like
// another line.
package printable

import (
	"errors"
	"net"
	"strings"
	"unicode"
)

// Error returns an error's words as Line does, without the ports of this machine, which differ from one time to the next.
func Error(err error) string {
	text := err.Error()
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Source != nil && op.Err != nil {
		why := op.Err.Error()
		if !strings.HasPrefix(why, op.Op) {
			why = op.Op + ": " + why
		}
		text = strings.ReplaceAll(text, op.Error(), why)
	}
	return Line(text)
}

// Line returns text as one line of what can be printed. What can't be is left out, and a blank stands for each stretch of
// white space.
func Line(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
}
