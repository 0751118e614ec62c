package samples_test

import (
	"bytes"
	"image"
	_ "image/gif"
	_ "image/jpeg"
	_ "image/png"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	_ "golang.org/x/image/tiff"
	"golang.org/x/text/unicode/norm"

	"github.com/gvpocr/worker/test/samples"
)

// What a checkout and a first run of the quickstart can bear.
const (
	maxPageBytes = 160 << 10
	maxAllBytes  = 1 << 20
)

func pageNames(t *testing.T) []string {
	t.Helper()
	names, err := samples.Images(samples.Pages())
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < 8 {
		t.Fatalf("only %d pages: %v", len(names), names)
	}
	return names
}

func TestEveryPageIsASmallImageWithATrueTextInNFC(t *testing.T) {
	total := 0
	for _, name := range pageNames(t) {
		data, err := fs.ReadFile(samples.Pages(), name)
		if err != nil {
			t.Fatal(err)
		}
		total += len(data)
		if len(data) > maxPageBytes {
			t.Errorf("%s has %d bytes, more than %d", name, len(data), maxPageBytes)
		}
		page, _, err := image.Decode(bytes.NewReader(data))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if size := page.Bounds().Size(); size.X < 500 || size.Y < 500 {
			t.Errorf("%s: a page of %v pixels is too small to be read", name, size)
		}
		truth, err := samples.Truth(samples.Pages(), name)
		if err != nil {
			t.Error(err)
		}
		if len(strings.Fields(truth)) < 30 {
			t.Errorf("%s: true text of less than 30 words: %q", name, truth)
		}
		if !norm.NFC.IsNormalString(truth) {
			t.Errorf("%s: true text is not in NFC, which recognizers write", name)
		}
	}
	if total > maxAllBytes {
		t.Errorf("all pages together have %d bytes, more than %d", total, maxAllBytes)
	}
}

func TestPagesCoverBothLanguagesAndSeveralFormats(t *testing.T) {
	languages, formats := map[string]int{}, map[string]int{}
	for _, name := range pageNames(t) {
		languages[strings.Join(samples.Languages(samples.Pages(), name), "+")]++
		formats[name[strings.LastIndexByte(name, '.'):]]++
	}
	if len(languages) != 2 || languages["en"] < 5 || languages["hi"] < 1 {
		t.Errorf("languages: %v", languages)
	}
	if formats[".jpg"] < 2 || formats[".png"] < 2 || formats[".tif"] < 1 {
		t.Errorf("formats: %v", formats)
	}
}

func TestREADMETableNamesEveryPage(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range pageNames(t) {
		if !strings.Contains(string(readme), "| `"+name+"` |") {
			t.Errorf("README.md has no row for %s", name)
		}
	}
}

func TestImagesAreToldByExtensionInAnyCase(t *testing.T) {
	fsys := fstest.MapFS{}
	for _, name := range []string{"b.JPG", "a.jpeg", "c.Png", "d.tif", "e.tiff", "f.bmp", "g.gif", "h.webp",
		"a.txt", "README.md", "jpg", "letter.pdf", "below/x.jpg", "folder.jpg/x.txt"} {
		fsys[name] = &fstest.MapFile{}
	}
	got, err := samples.Images(fsys)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"a.jpeg", "b.JPG", "c.Png", "d.tif", "e.tiff", "f.bmp", "g.gif", "h.webp"}
	if !slices.Equal(got, want) {
		t.Errorf("Images = %v, want %v", got, want)
	}
}

func TestImagesOfAMissingFolderIsAnError(t *testing.T) {
	if got, err := samples.Images(os.DirFS(t.TempDir() + "/none")); err == nil {
		t.Errorf("Images = %v, want an error", got)
	}
}
