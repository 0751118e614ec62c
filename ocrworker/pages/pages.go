// Package pages turns a file into page images that may be given to an OCR engine.
//
//	file, err := pages.Read(f, name, limits)
//	…
//	for page, err := range file.Pages() {
//
// A file is not to be trusted. Its bytes are read once, up to a limit; its format is told by its content; an image's header is checked
// before the image is decoded; and each image is decoded in full, because engines take one that was cut off without a word.
package pages

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/gvpocr/worker/ocrworker/ocr"
)

// Extensions are those of the files that may be read, in lower case. Whether a file really is what its extension says
// does not matter: its content decides.
var Extensions = []string{".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pdf"}

// Limits bound what one file may cost. Zero is the default; negative is no limit, except that MaxPixels and MaxSide always hold:
// without them a few bytes can ask for any amount of memory.
//
// While a page is checked it takes memory beside the file: 1 to 4 bytes per pixel as a rule, 8 with 16 bits a channel, at most 20 for a
// progressive JPEG of four channels.
type Limits struct {
	MaxBytes  int64 // size of the file; default 256 MiB: MaxPixels at 4 bytes a pixel, uncompressed, is 200 MB
	MaxPixels int64 // width × height of a page; default and, when negative, 50 million: A3 at 400 dpi has 31 million
	MaxSide   int   // width or height of a page; default and most 32 767, which is Leptonica's limit
	MaxPages  int   // default 1000
}

const leptonicaMaxSide = 32767

func (l Limits) withDefaults() Limits {
	if l.MaxBytes == 0 {
		l.MaxBytes = 256 << 20
	}
	if l.MaxPixels <= 0 {
		l.MaxPixels = 50_000_000
	}
	if l.MaxSide <= 0 || l.MaxSide > leptonicaMaxSide {
		l.MaxSide = leptonicaMaxSide
	}
	if l.MaxPages == 0 {
		l.MaxPages = 1000
	}
	return l
}

// File is a file that has been read and whose pages have been found. It is safe for concurrent use.
type File struct {
	Size int64 // bytes

	name   string
	limits Limits
	format string
	data   []byte
	ifds   []ifd // TIFF: one per page
}

// Page is one page as an encoded image that ocr.ImageFormat knows.
type Page struct {
	Number        int    // from 1
	Data          []byte // may be shared with the File: read only
	Format        string // of Data, as ocr.ImageFormat names it
	DPI           int    // as the file says; 0 = unknown, or no value that a scan would have
	Width, Height int
}

// Read reads f, which it does not close, and finds its pages. The name tells by its extension whether the file is accepted,
// and appears in errors.
//
// An [*Error] says what is wrong with the file; it is permanent. Any other error comes from reading f, and another try may do better.
func Read(f fs.File, name string, l Limits) (*File, error) {
	l = l.withDefaults()
	if !slices.Contains(Extensions, strings.ToLower(path.Ext(name))) {
		return nil, &Error{Name: name, Err: fmt.Errorf("%w; accepted are %s", ErrExtension, strings.Join(Extensions, " "))}
	}
	data, err := readAll(f, l.MaxBytes)
	if errors.Is(err, ErrTooLarge) {
		return nil, &Error{Name: name, Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	file := &File{Size: int64(len(data)), name: name, limits: l, data: data}
	if file.format, err = sniff(data); err != nil {
		return nil, &Error{Name: name, Err: err}
	}
	if file.format == "tiff" {
		if file.ifds, err = findIFDs(data, l.MaxPages); err != nil {
			return nil, &Error{Name: name, Err: err}
		}
	}
	return file, nil
}

// Len returns the number of pages, one at least.
func (f *File) Len() int { return max(1, len(f.ifds)) }

// Pages iterates over the pages in their order, each made and checked when its turn comes. A page that fails comes with an [*Error]
// and its Number alone; the others still follow.
func (f *File) Pages() iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		for i := range f.Len() {
			page, err := f.page(i)
			if err != nil {
				page = Page{}
				err = &Error{Name: f.name, Page: i + 1, Err: err}
			}
			page.Number = i + 1
			if !yield(page, err) {
				return
			}
		}
	}
}

func (f *File) page(i int) (Page, error) {
	switch f.format {
	case "tiff":
		return tiffPage(f.data, f.ifds[i], f.limits)
	case "gif":
		return gifPage(f.data, f.limits)
	default:
		return imagePage(f.data, f.format, f.limits)
	}
}

func readAll(f fs.File, maxBytes int64) ([]byte, error) {
	if maxBytes < 0 {
		return io.ReadAll(f)
	}
	tooLarge := fmt.Errorf("%w: more than %d bytes", ErrTooLarge, maxBytes)
	if fi, err := f.Stat(); err != nil {
		return nil, err
	} else if fi.Size() > maxBytes {
		return nil, tooLarge
	}
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err == nil && int64(len(data)) > maxBytes {
		err = tooLarge
	}
	return data, err
}

// sniff returns the format of data, or why it can't be read.
func sniff(data []byte) (string, error) {
	if len(data) == 0 {
		return "", ErrEmpty
	}
	if format := ocr.ImageFormat(data); format != "" {
		return format, nil
	}
	head := string(data[:min(len(data), 1024)]) // readers of PDF look for its mark in the first 1024 bytes
	switch {
	case strings.Contains(head, "%PDF-"):
		return "", ErrPDF
	case strings.HasPrefix(head, "II+\x00"), strings.HasPrefix(head, "MM\x00+"):
		return "", fmt.Errorf("%w: a BigTIFF; convert it to a classic TIFF", ErrNotImage)
	}
	return "", fmt.Errorf("%w: the content begins like %s", ErrNotImage, http.DetectContentType(data))
}
