package ocr

import (
	"fmt"
	"slices"
	"strings"
)

// defaultLanguage is read when a page names no language.
const defaultLanguage = "eng"

// Each language costs Tesseract memory and time, and the names of a task are not to be trusted.
const (
	maxLanguages    = 10
	maxLanguageName = 32
)

// tesseractNames are the codes of tasks that Tesseract calls otherwise; all others are passed on as they are.
var tesseractNames = map[string]string{
	"en": "eng", "hi": "hin", "es": "spa", "fr": "fra", "de": "deu", "zh": "chi_sim", "ja": "jpn",
	"ar": "ara", "ru": "rus", "pt": "por", "it": "ita", "ko": "kor",
}

// languageArgument returns the value of tesseract's option -l. Languages become a command's argument and a file's name, so
// they are checked by their letters before they are looked up.
func languageArgument(languages, installed []string) (string, error) {
	if len(languages) == 0 {
		languages = []string{defaultLanguage}
	}
	if len(languages) > maxLanguages {
		return "", fmt.Errorf("%d languages: at most %d can be read at once", len(languages), maxLanguages)
	}
	var names []string
	for _, l := range languages {
		name := l
		if own, ok := tesseractNames[l]; ok {
			name = own
		}
		if !validLanguage(name) {
			return "", fmt.Errorf("language %.40q is not a code that tesseract knows; installed are %s", name, strings.Join(installed, ", "))
		}
		if !slices.Contains(installed, name) {
			return "", fmt.Errorf("language %q is not installed; installed are %s (on Debian: apt-get install %s)",
				name, strings.Join(installed, ", "), debianPackage(name))
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, "+"), nil
}

// validLanguage takes letters, digits and _, optionally below script/, as in script/Devanagari.
func validLanguage(name string) bool {
	if len(name) > maxLanguageName {
		return false
	}
	name = strings.TrimPrefix(name, "script/")
	return name != "" && strings.IndexFunc(name, func(r rune) bool {
		return !(r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
	}) < 0
}

// debianPackage names the package of a language. Those of scripts carry the four letters of ISO 15924, which the name doesn't tell.
func debianPackage(name string) string {
	if strings.HasPrefix(name, "script/") {
		return "one of tesseract-ocr-script-*"
	}
	return "tesseract-ocr-" + strings.ReplaceAll(strings.ToLower(name), "_", "-")
}
