package ocr_test

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"
	"testing"

	"golang.org/x/image/bmp"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/tiff"
)

const renderDPI = 150

// render draws lines of black text on white, far enough apart to be blocks of their own.
func render(t *testing.T, lines ...string) image.Image {
	t.Helper()
	parsed, err := opentype.Parse(goregular.TTF)
	if err != nil {
		t.Fatal(err)
	}
	face, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: 20, DPI: renderDPI})
	if err != nil {
		t.Fatal(err)
	}
	img := image.NewPaletted(image.Rect(0, 0, 900, 200+300*len(lines)), color.Palette{color.White, color.Black})
	d := font.Drawer{Dst: img, Src: image.Black, Face: face}
	for i, line := range lines {
		d.Dot = fixed.P(60, 150+300*i)
		d.DrawString(line)
	}
	return img
}

var encoders = map[string]func(*bytes.Buffer, image.Image) error{
	"png":  func(w *bytes.Buffer, m image.Image) error { return png.Encode(w, m) },
	"gif":  func(w *bytes.Buffer, m image.Image) error { return gif.Encode(w, m, nil) },
	"bmp":  func(w *bytes.Buffer, m image.Image) error { return bmp.Encode(w, m) },
	"tiff": func(w *bytes.Buffer, m image.Image) error { return tiff.Encode(w, m, nil) },
	"jpeg": func(w *bytes.Buffer, m image.Image) error {
		gray := image.NewGray(m.Bounds())
		draw.Draw(gray, gray.Rect, m, image.Point{}, draw.Src)
		return jpeg.Encode(w, gray, nil)
	},
}

func encode(t *testing.T, format string, m image.Image) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := encoders[format](&out, m); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
