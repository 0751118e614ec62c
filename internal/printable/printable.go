// Package printable makes what servers say fit to be shown: on a terminal it could color, move the cursor, or look like
// another line.
package printable

import (
	"strings"
	"unicode"
)

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
