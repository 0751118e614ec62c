package migrate

import (
	"regexp"
	"slices"
	"strings"
)

// namesHost reports whether a text has name as a host: alone, in a list, in a URL, or in a shell's script.
func namesHost(text, name string) bool {
	return slices.ContainsFunc(hostsIn(strings.ReplaceAll(text, "/", " ")), func(host string) bool { return strings.EqualFold(host, name) })
}

var scheme = regexp.MustCompile(`(?:[\w+.-]+:|\B)//`)

// hostsIn returns what may be hosts in a text. What follows a slash is a path.
func hostsIn(text string) []string {
	const between = ",;@= \t\n" + `"'()|&<>` + "`"
	words := strings.FieldsFunc(scheme.ReplaceAllString(text, " "), func(r rune) bool { return strings.ContainsRune(between, r) })
	for i, word := range words {
		word, _, _ = strings.Cut(word, "/")
		words[i], _, _ = strings.Cut(word, ":")
	}
	return words
}
