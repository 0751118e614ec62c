package samples

import (
	"strings"
	"unicode/utf8"

	"github.com/agnivade/levenshtein"
)

// ErrorRate is the character error rate of a recognized text: the least number of
// characters to insert, delete or replace to turn one into the other, over the truth's
// length. 0.01 is one wrong character in a hundred; a text with much that is not on the
// page can pass 1.
//
// Both are compared with white space trimmed, runs of it taken as one space, and
// typographic quotes and dashes taken as plain ones. Characters are Unicode code points.
// Against an empty truth the rate is 0 for an empty text, else 1. A text more than twice
// as long as the truth is not compared: its rate is what the surplus alone makes, which
// is above 1, so that the time stays bounded by the truth's length.
func ErrorRate(truth, recognized string) float64 {
	truth, recognized = plain(truth), plain(recognized)
	length, got := utf8.RuneCountInString(truth), utf8.RuneCountInString(recognized)
	switch {
	case length == 0 && got == 0:
		return 0
	case length == 0:
		return 1
	case got > 2*length:
		return float64(got-length) / float64(length)
	}
	return float64(levenshtein.ComputeDistance(truth, recognized)) / float64(length)
}

var plainMarks = strings.NewReplacer(
	"‘", "'", "’", "'", "‚", "'", "‛", "'",
	"“", `"`, "”", `"`, "„", `"`, "‟", `"`,
	"‐", "-", "‑", "-", "‒", "-", "–", "-", "—", "-", "―", "-", "−", "-",
)

func plain(text string) string {
	return strings.Join(strings.Fields(plainMarks.Replace(text)), " ")
}
