package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"

	"golang.org/x/image/tiff"
)

// encode writes page to file in the format that the file's extension names.
func encode(file string, page scanned) error {
	var data bytes.Buffer
	var err error
	switch ext := filepath.Ext(file); ext {
	case ".jpg":
		err = jpeg.Encode(&data, page.Gray, &jpeg.Options{Quality: page.quality})
	case ".png":
		err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&data, page.paletted())
	case ".gif":
		err = gif.Encode(&data, page.paletted(), nil)
	case ".tif":
		err = tiff.Encode(&data, page.Gray, &tiff.Options{Compression: tiff.Deflate})
	default:
		err = fmt.Errorf("no encoder for %q: use .jpg, .png, .gif or .tif", ext)
	}
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	return os.WriteFile(file, data.Bytes(), 0o644)
}

// paletted numbers the grey levels that are kept, so that few levels take few bits.
func (p scanned) paletted() *image.Paletted {
	steps := p.levels - 1
	greys := make(color.Palette, p.levels)
	for i := range greys {
		greys[i] = color.Gray{Y: uint8((2*i*255 + steps) / (2 * steps))}
	}
	out := image.NewPaletted(p.Bounds(), greys)
	for i, grey := range p.Pix {
		out.Pix[i] = uint8((2*int(grey)*steps + 255) / (2 * 255))
	}
	return out
}
