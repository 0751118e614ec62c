package ocr_test

import (
	"strings"
	"testing"

	"github.com/gvpocr/worker/ocrworker/ocr"
)

func TestImageFormatKnowsImagesByTheirFirstBytes(t *testing.T) {
	for head, want := range map[string]string{
		"\xff\xd8\xff\xe0":                   "jpeg",
		"\x89PNG\r\n\x1a\n":                  "png",
		"GIF87a":                             "gif",
		"GIF89a":                             "gif",
		"BM\x10\x20\x30\x40\x00\x00\x00\x00": "bmp",
		"II*\x00":                            "tiff",
		"MM\x00*":                            "tiff",
		"RIFF\x10\x00\x00\x00WEBP":           "webp",

		"":                     "",
		"/srv/files/a.png\n":   "",
		"BMW.png\nother.png":   "", // begins like a bitmap
		"RIFF....WAVE":         "",
		"II+\x00":              "", // BigTIFF
		"%PDF-1.7":             "",
		"\x00\x00\x00\x0cjP  ": "",
		"P5\n":                 "",
		"GIF88a":               "",
		"\xff\xd8":             "",
	} {
		if got := ocr.ImageFormat([]byte(head + strings.Repeat("\x01", 20))); got != want {
			t.Errorf("%q: %q, want %q", head, got, want)
		}
		if len(head) < 12 {
			if got := ocr.ImageFormat([]byte(head)); got != "" {
				t.Errorf("%q alone: %q", head, got)
			}
		}
	}
}
