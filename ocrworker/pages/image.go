package pages

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"
)

// codec reads one format.
type codec struct {
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
}

var codecs = map[string]codec{
	"jpeg": {jpeg.DecodeConfig, jpeg.Decode},
	"png":  {png.DecodeConfig, png.Decode},
	"gif":  {gif.DecodeConfig, gif.Decode},
	"bmp":  {bmp.DecodeConfig, bmp.Decode},
	"webp": {webp.DecodeConfig, webp.Decode},
}

// imagePage checks a file that is one image, and makes it a page as it is.
func imagePage(data []byte, format string, l Limits) (Page, error) {
	page := Page{Data: data, Format: format}
	switch format {
	case "jpeg":
		if err := checkJPEG(data); err != nil {
			return Page{}, err
		}
		page.DPI = jpegDPI(data)
	case "png":
		page.DPI = pngDPI(data)
	case "webp":
		if err := checkWebP(data); err != nil {
			return Page{}, err
		}
	}
	var err error
	if page.Width, page.Height, err = size(data, format); err != nil {
		return Page{}, err
	}
	if err := l.check(page.Width, page.Height); err != nil {
		return Page{}, err
	}
	if _, err := decode(data, codecs[format]); err != nil && !unsupported(err) {
		return Page{}, err
	}
	return page, nil
}

// gifPage makes a page of a GIF's first frame. It is encoded anew, because giflib unpacks every frame of an animation, a few bytes
// each, before Leptonica takes the first.
func gifPage(data []byte, l Limits) (Page, error) {
	width, height, err := size(data, "gif")
	if err != nil {
		return Page{}, err
	}
	if err := l.check(width, height); err != nil {
		return Page{}, err
	}
	img, err := decode(data, codecs["gif"])
	if err != nil {
		return Page{}, err
	}
	b := img.Bounds() // the frame's, which may be less than the screen's
	if err := l.check(b.Dx(), b.Dy()); err != nil {
		return Page{}, err
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		return Page{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return Page{Data: out.Bytes(), Format: "png", Width: b.Dx(), Height: b.Dy()}, nil
}

// size returns what the header says, without decoding more than that.
func size(data []byte, format string) (width, height int, err error) {
	defer asFault(&err)
	c, err := codecs[format].config(bytes.NewReader(data))
	if err == nil {
		return c.Width, c.Height, nil
	}
	if unsupported(err) {
		// Valid variants that the engine reads and Go does not: a JPEG of 12 bits, a BMP of 16.
		switch format {
		case "jpeg":
			width, height = jpegSize(data)
		case "bmp":
			width, height = bmpSize(data)
		}
		if width > 0 && height > 0 {
			return width, height, nil
		}
	}
	return 0, 0, fault(err)
}

func (l Limits) check(width, height int) error {
	switch {
	case width <= 0 || height <= 0:
		return fmt.Errorf("%w: it has no pixels (%d×%d)", ErrDamaged, width, height)
	case width > l.MaxSide || height > l.MaxSide:
		return fmt.Errorf("%w: %d×%d pixels; a side may have %d", ErrTooLarge, width, height, l.MaxSide)
	case int64(width)*int64(height) > l.MaxPixels:
		return fmt.Errorf("%w: %d×%d pixels; a page may have %d", ErrTooLarge, width, height, l.MaxPixels)
	}
	return nil
}

// decode decodes an image whose size has been checked.
func decode(data []byte, c codec) (img image.Image, err error) {
	defer asFault(&err)
	r := &endWatcher{r: bytes.NewReader(data)}
	img, err = c.decode(r)
	switch {
	case err == nil || unsupported(err):
		return img, err
	case r.passed:
		return nil, fmt.Errorf("%w: %w", ErrCutOff, err)
	}
	return nil, fault(err)
}

// endWatcher notices that a decoder asks for more than there is. Few decoders say so by their error.
type endWatcher struct {
	r      *bytes.Reader
	passed bool
}

func (w *endWatcher) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.passed = w.passed || err == io.EOF
	return n, err
}

func (w *endWatcher) ReadAt(p []byte, offset int64) (int, error) {
	n, err := w.r.ReadAt(p, offset)
	w.passed = w.passed || err == io.EOF
	return n, err
}

// asFault, when deferred, makes a decoder's panic an error. A decoder that panics has met a file that its author did not think of; one
// such file must not end a process that works on others.
func asFault(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%w: its decoder failed: %v", ErrDamaged, r)
	}
}

// fault says which of ErrCutOff and ErrDamaged a decoder's error means. Decoders read from memory, so it is never one of I/O.
func fault(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %w", ErrCutOff, err)
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

// unsupported tells whether a decoder takes the image for a valid one that it can't read; the engine may.
func unsupported(err error) bool {
	var (
		j jpeg.UnsupportedError
		p png.UnsupportedError
		t tiff.UnsupportedError
	)
	return errors.As(err, &j) || errors.As(err, &p) || errors.As(err, &t) || errors.Is(err, bmp.ErrUnsupported)
}
