package pages_test

import (
	"encoding/binary"
	"image"
	"image/color"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"

	"github.com/gvpocr/worker/ocrworker/ocr"
	"github.com/gvpocr/worker/ocrworker/pages"
)

// render draws black text on white, to be read at 150 dpi.
func render(t *testing.T, text string) image.Image {
	t.Helper()
	parsed, err := opentype.Parse(goregular.TTF)
	if err != nil {
		t.Fatal(err)
	}
	face, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: 20, DPI: 150})
	if err != nil {
		t.Fatal(err)
	}
	m := image.NewPaletted(image.Rect(0, 0, 800, 200), color.Palette{color.White, color.Black})
	d := font.Drawer{Dst: m, Src: image.Black, Face: face, Dot: fixed.P(50, 110)}
	d.DrawString(text)
	return m
}

func TestTesseractReadsThePagesOfEveryFormat(t *testing.T) {
	if _, err := exec.LookPath("tesseract"); err != nil {
		if os.Getenv("REQUIRE_TESSERACT") == "1" {
			t.Fatal("tesseract is not installed and REQUIRE_TESSERACT=1")
		}
		t.Skip("tesseract is not installed (on Debian: apt-get install tesseract-ocr)")
	}
	engine, err := ocr.NewTesseract(ocr.TesseractConfig{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string][]byte)
	for format := range encoders {
		files[format] = encode(t, format, render(t, "First page"))
	}
	for name, order := range map[string]binary.AppendByteOrder{"tiff of three, II": binary.LittleEndian, "tiff of three, MM": binary.BigEndian} {
		f := newTIFF(order)
		for _, text := range []string{"First page", "Second page", "Third page"} {
			f.addGray(render(t, text), field{282, 5, f.rational(150, 1)}, field{296, short, 2})
		}
		files[name] = f.data
	}
	want := []string{"First page", "Second page", "Third page"}
	for name, data := range files {
		got, err := readPages(t, "a.png", data, pages.Limits{})
		if err != nil || len(got) == 0 {
			t.Errorf("%s: %v", name, err)
		}
		for i, p := range got {
			r, err := engine.Recognize(t.Context(), ocr.Page{Number: p.Number, Image: p.Data, DPI: p.DPI})
			if err != nil || r.Text != want[i] {
				t.Errorf("%s: page %d: %q, %v", name, p.Number, r.Text, err)
			}
		}
	}
}
