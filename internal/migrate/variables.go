package migrate

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
)

// environment is what a compose file in dir has its variables from: own, as os.Environ has it, and what that lacks from
// the file .env beside the compose file.
func environment(dir string, own []string) (types.Mapping, error) {
	env := types.NewMapping(own)
	name := filepath.Join(dir, ".env")
	switch fi, err := os.Stat(name); {
	case errors.Is(err, fs.ErrNotExist):
		return env, nil
	case err != nil:
		return nil, err
	case !fi.Mode().IsRegular():
		return env, nil // as compose has it
	}
	beside, err := dotenv.GetEnvFromFile(env, []string{name})
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, err
	}
	if err != nil { // it quotes the line, which may be a password
		return nil, fmt.Errorf("the file .env beside it is not understood: %s is not of the form NAME=value", cmp.Or(dotenvLine.FindString(err.Error()), "a line"))
	}
	maps.Copy(beside, env)
	return beside, nil
}

var dotenvLine = regexp.MustCompile(`\bline \d+\b`)

// standIn is what a required variable holds that is not set: a migration needs what the file is made of, not what it is
// started with. It can be a port, a number, and part of a name.
const standIn = "1"

// substitute replaces the variables in a value of a compose file, as compose does, but for required ones.
func substitute(text string, lookUp template.Mapping) (string, error) {
	required := map[string]bool{}
	for {
		value, err := template.SubstituteWithOptions(text, func(name string) (string, bool) {
			value, ok := lookUp(name)
			if value == "" && required[name] {
				return standIn, true
			}
			return value, ok
		}, template.WithoutLogging)
		missing, ok := errors.AsType[*template.MissingRequiredError](err)
		if !ok || required[missing.Variable] {
			return value, err
		}
		required[missing.Variable] = true
	}
}

// veil replaces the variables in a text by single letters, so that a shell's rules for splitting it don't see their
// messages and defaults; lift puts them back.
func veil(text string) (veiled string, lift func(string) string) {
	const first, last = '\uE000', '\uF000' // of private use
	if strings.ContainsFunc(text, func(r rune) bool { return first <= r && r <= last }) {
		return text, func(s string) string { return s }
	}
	var hidden, back []string
	for i := 0; i < len(text); i++ {
		end := variableEnd(text[i:])
		if end == 0 || first+rune(len(back)/2) > last {
			continue
		}
		letter := string(first + rune(len(back)/2))
		hidden = append(hidden, text[i:i+end], letter)
		back = append(back, letter, text[i:i+end])
		i += end - 1
	}
	return strings.NewReplacer(hidden...).Replace(text), strings.NewReplacer(back...).Replace
}

// variableEnd returns the length of the ${…} that a text begins with, or 0.
func variableEnd(text string) int {
	if !strings.HasPrefix(text, "${") {
		return 0
	}
	depth := 0
	for i, r := range text {
		switch r {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}

// unset returns the variables in a file's content that are not set and have no default.
func unset(content map[string]any, env types.Mapping) []string {
	var names []string
	for name, v := range template.ExtractVariables(content, nil) {
		_, ok := env[name]
		if !ok && v.DefaultValue == "" && v.PresenceValue == "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
