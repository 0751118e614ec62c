package pages

import (
	"errors"
	"fmt"
)

// Error says what is wrong with a file or one of its pages. It is permanent: the same file fails alike.
type Error struct {
	Name string
	Page int   // 0 = the whole file
	Err  error // wraps one of the errors below
}

func (e *Error) Error() string {
	if e.Page == 0 {
		return fmt.Sprintf("read %s: %v", e.Name, e.Err)
	}
	return fmt.Sprintf("read %s: page %d: %v", e.Name, e.Page, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// What an [Error] wraps.
var (
	// ErrExtension: a file with this extension is not accepted, whatever it holds.
	ErrExtension = errors.New("the extension is not one of an image")

	// ErrEmpty: the file has no bytes.
	ErrEmpty = errors.New("the file is empty")

	// ErrPDF: the content is a PDF file, whatever the extension says.
	ErrPDF = errors.New("PDF files are not supported by this worker yet")

	// ErrNotImage: the content is nothing that an engine reads.
	ErrNotImage = errors.New("not an image of a known format")

	// ErrTooLarge: the file, an image or the number of pages is beyond the Limits.
	ErrTooLarge = errors.New("too large")

	// ErrCutOff: the file ends too early, as after a copy that was interrupted.
	ErrCutOff = errors.New("image is cut off")

	// ErrDamaged: the image breaks the rules of its format, or has no pixels.
	ErrDamaged = errors.New("image is damaged")
)
