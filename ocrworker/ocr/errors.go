package ocr

import (
	"errors"
	"fmt"
)

// Error is a page that was not recognized.
type Error struct {
	Engine    string // "tesseract"
	Page      int    // Page.Number
	Permanent bool   // the page, its languages or its text are the reason: another try fails alike
	Err       error
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s: page %d: %v", e.Engine, e.Page, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// IsPermanent tells whether err says that the page can't be recognized, however often it is tried. It is false for a killed process,
// a full disk, or a context that has ended.
func IsPermanent(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Permanent
}
