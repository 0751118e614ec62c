package ocr

import "strings"

// magics are the bytes that an image begins with; a dot stands for any byte.
var magics = []struct{ format, magic string }{
	{"jpeg", "\xff\xd8\xff"},
	{"png", "\x89PNG\r\n\x1a\n"},
	{"gif", "GIF87a"},
	{"gif", "GIF89a"},
	{"bmp", "BM....\x00\x00\x00\x00"}, // four reserved bytes, so that a text beginning with BM is not taken for an image
	{"tiff", "II*\x00"},
	{"tiff", "MM\x00*"},
	{"webp", "RIFF....WEBP"},
}

// ImageFormat tells the format of an encoded image by its first bytes: "jpeg", "png", "gif", "bmp", "tiff" or "webp"; "" for
// anything else.
//
// Nothing else may reach Tesseract: it takes what Leptonica does not know as an image for a list of names of files to read. What
// passes here is therefore a subset of what findFileFormatBuffer in Leptonica's readfile.c takes.
func ImageFormat(data []byte) string {
	if len(data) < 12 { // Leptonica looks at twelve bytes
		return ""
	}
	head := string(data[:12])
	for _, m := range magics {
		if matches(head, m.magic) {
			return m.format
		}
	}
	return ""
}

func matches(head, magic string) bool {
	if !strings.Contains(magic, "....") {
		return strings.HasPrefix(head, magic)
	}
	before, after, _ := strings.Cut(magic, "....")
	return strings.HasPrefix(head, before) && strings.HasPrefix(head[len(before)+4:], after)
}
