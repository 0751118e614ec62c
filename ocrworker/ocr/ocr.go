// Package ocr turns page images into text.
//
// An [Engine] recognizes one page per call. [Tesseract] runs the tesseract command; others may ask a server.
package ocr

import "context"

// Engine recognizes the text of one page. Implementations are safe for concurrent use.
//
// [IsPermanent] tells whether an error comes from the page itself, so that another try would fail as well. When ctx ends, the error
// wraps its cause.
type Engine interface {
	Recognize(ctx context.Context, p Page) (Result, error)
}

// Page is what an engine is asked to read. The engine does not change Image and does not keep it.
type Page struct {
	Number      int      // from 1; only named in errors
	Image       []byte   // one encoded image, of a format that ImageFormat knows and of a size that the caller has checked
	DPI         int      // 0 = unknown
	Languages   []string // ISO 639-1 codes or the engine's own; none = the engine's default
	Handwriting bool
	Prompt      string // for engines that take one
	Text        string // a chain step's input, instead of Image
}

// Result is what an engine has read. A page without text is a Result like any other, with an empty Text.
type Result struct {
	Text          string
	Confidence    float64 // 0..1
	Blocks, Words int
	Language      string // code of the language that the engine detected; empty when it detects none
}
