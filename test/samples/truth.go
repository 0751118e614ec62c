package samples

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxTruth bounds a true text, in bytes. A dense page has a tenth of it, and comparing
// takes time by the square.
const maxTruth = 64 << 10

// Truth returns the true text of an image in fsys, from the folder the image is in.
//
// The error matches [fs.ErrNotExist] if there is no true text for it. A text of more than
// 64 KiB or one that is not UTF-8 is an error too. The image itself is not opened.
func Truth(fsys fs.FS, image string) (string, error) {
	file, err := truthFile(fsys, image)
	if err != nil {
		return "", fmt.Errorf("true text of %s: %w", image, err)
	}
	text, err := readText(fsys, file)
	if err != nil {
		return "", fmt.Errorf("true text of %s: read %s: %w", image, file, err)
	}
	return text, nil
}

// truthFile finds the text file with the longest name that image's name begins with.
func truthFile(fsys fs.FS, image string) (string, error) {
	dir, base := path.Split(path.Clean(image))
	dir = path.Clean(dir)
	base = strings.TrimSuffix(base, path.Ext(base))

	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return "", err
	}
	var found, longest string
	for _, entry := range entries {
		ext := path.Ext(entry.Name())
		name := strings.TrimSuffix(entry.Name(), ext)
		if strings.EqualFold(ext, ".txt") && !entry.IsDir() && strings.HasPrefix(base, name) && len(name) > len(longest) {
			found, longest = entry.Name(), name
		}
	}
	if found == "" {
		return "", fmt.Errorf("put it beside the image as %s.txt: %w", base, fs.ErrNotExist)
	}
	return path.Join(dir, found), nil
}

func readText(fsys fs.FS, file string) (string, error) {
	// Opening a named pipe would wait for its writer.
	if info, err := fs.Stat(fsys, file); err != nil {
		return "", err
	} else if !info.Mode().IsRegular() {
		return "", fmt.Errorf("not a regular file: %v", info.Mode().Type())
	}
	f, err := fsys.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxTruth+1))
	if err != nil {
		return "", err
	}
	if len(text) > maxTruth {
		return "", fmt.Errorf("more than %d KiB: give each page a text of its own", maxTruth>>10)
	}
	if !utf8.Valid(text) {
		return "", errors.New("not UTF-8: convert it")
	}
	return strings.TrimPrefix(string(text), "\ufeff"), nil
}

// Languages returns the languages that a task for an image should name, by the script of
// its true text: "hi" where most letters are Devanagari, else "en". Without a readable
// true text it is "en".
func Languages(fsys fs.FS, image string) []string {
	text, err := Truth(fsys, image)
	if err != nil {
		return []string{"en"}
	}
	var letters, devanagari int
	for _, r := range text {
		if !unicode.IsLetter(r) {
			continue
		}
		letters++
		if unicode.Is(unicode.Devanagari, r) {
			devanagari++
		}
	}
	if 2*devanagari > letters {
		return []string{"hi"}
	}
	return []string{"en"}
}
