package pages

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
)

// maxScans bounds the scans of a JPEG. A progressive one has about ten; with millions of empty ones, each going over the whole
// image, a small file keeps a decoder busy for hours. The number is the one that libjpeg-turbo's fuzzers use.
const maxScans = 500

const (
	markerAPP0 = 0xe0
	markerSOS  = 0xda
	markerEOI  = 0xd9
)

func checkJPEG(data []byte) error {
	scans := 0
	for marker := range jpegSegments(data) {
		if marker == markerSOS {
			scans++
		}
		if scans > maxScans {
			return fmt.Errorf("%w: more than %d scans in a JPEG", ErrTooLarge, maxScans)
		}
	}
	return nil
}

// jpegSize returns the size in the frame header, which has one of the markers SOF0 to SOF15.
func jpegSize(data []byte) (width, height int) {
	for marker, body := range jpegSegments(data) {
		isFrame := marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc
		if isFrame && len(body) >= 5 {
			return int(binary.BigEndian.Uint16(body[3:])), int(binary.BigEndian.Uint16(body[1:]))
		}
	}
	return 0, 0
}

// jpegDPI returns the density of the JFIF header, which comes before all else.
func jpegDPI(data []byte) int {
	for marker, body := range jpegSegments(data) {
		if marker != markerAPP0 || len(body) < 12 || !bytes.HasPrefix(body, []byte("JFIF\x00")) {
			break
		}
		density := float64(binary.BigEndian.Uint16(body[8:]))
		switch body[7] {
		case 1:
			return plausibleDPI(density)
		case 2:
			return plausibleDPI(density * 2.54)
		}
	}
	return 0
}

// jpegSegments iterates over the segments of a JPEG, marker and body, passing over coded data. It ends where the data does.
func jpegSegments(data []byte) iter.Seq2[byte, []byte] {
	return func(yield func(byte, []byte) bool) {
		data := data
		for {
			i := bytes.IndexByte(data, 0xff)
			if i < 0 || i+1 >= len(data) {
				return
			}
			marker := data[i+1]
			data = data[i+1:]
			switch {
			case marker == 0xff: // filling before a marker
				continue
			case marker <= 0x01 || marker >= 0xd0 && marker <= 0xd8: // coded data, restart, start of image
				data = data[1:]
				continue
			case marker == markerEOI || len(data) < 3:
				return
			}
			length := int(binary.BigEndian.Uint16(data[1:])) // counts itself
			if length < 2 || 1+length > len(data) {
				return
			}
			if !yield(marker, data[3:1+length]) {
				return
			}
			data = data[1+length:]
		}
	}
}

// pngDPI returns the density of the chunk pHYs, which comes before the pixels.
func pngDPI(data []byte) int {
	const signature, perMetre = 8, 1
	for data = data[signature:]; len(data) >= 12; {
		length := int64(binary.BigEndian.Uint32(data))
		name := string(data[4:8])
		if name == "IDAT" || length+12 > int64(len(data)) {
			return 0
		}
		if name == "pHYs" && length == 9 && data[8+8] == perMetre {
			return plausibleDPI(float64(binary.BigEndian.Uint32(data[8:])) * 0.0254)
		}
		data = data[length+12:]
	}
	return 0
}

// plausibleDPI rounds a density, and drops what no scanner has: Tesseract takes 70 to 2400 for credible.
func plausibleDPI(dpi float64) int {
	if dpi >= 70 && dpi <= 2400 {
		return int(dpi + 0.5)
	}
	return 0
}

// bmpSize returns the size in the header BITMAPINFOHEADER or a later one, which has a negative height when rows run down.
func bmpSize(data []byte) (width, height int) {
	const infoHeader = 40
	if len(data) < 14+infoHeader || binary.LittleEndian.Uint32(data[14:]) < infoHeader {
		return 0, 0
	}
	width = int(int32(binary.LittleEndian.Uint32(data[18:])))
	height = int(int32(binary.LittleEndian.Uint32(data[22:])))
	return width, max(height, -height)
}

// checkWebP finds an animation, for which the decoder has no error of its own. Its flag is in the first chunk of such a file.
func checkWebP(data []byte) error {
	const flags, animation = 20, 1 << 1
	if len(data) > flags && string(data[12:16]) == "VP8X" && data[flags]&animation != 0 {
		return fmt.Errorf("%w: an animated WebP", ErrNotImage)
	}
	return nil
}
