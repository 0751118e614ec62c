package e2e_test

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/gif"
	"io/fs"
	"testing"

	"github.com/gvpocr/worker/test/samples"
)

// tiffOf encodes images as the pages of one uncompressed TIFF of 8-bit grey, little-endian (TIFF 6.0, 1992).
func tiffOf(pages ...image.Image) []byte {
	var out bytes.Buffer
	out.WriteString("II*\x00")
	next := uint32(4) // where the offset of the next directory has to be written
	out.Write(make([]byte, 4))
	for _, page := range pages {
		b := page.Bounds()
		strip := uint32(out.Len())
		for y := b.Min.Y; y < b.Max.Y; y++ {
			for x := b.Min.X; x < b.Max.X; x++ {
				out.WriteByte(color.GrayModel.Convert(page.At(x, y)).(color.Gray).Y)
			}
		}
		size := uint32(out.Len()) - strip
		if out.Len()%2 == 1 {
			out.WriteByte(0) // a directory begins on a word
		}
		binary.LittleEndian.PutUint32(out.Bytes()[next:], uint32(out.Len()))
		entries := [][2]uint32{
			{256, uint32(b.Dx())}, {257, uint32(b.Dy())}, {258, 8}, {259, 1}, {262, 1}, // black is zero
			{273, strip}, {277, 1}, {278, uint32(b.Dy())}, {279, size},
		}
		binary.Write(&out, binary.LittleEndian, uint16(len(entries)))
		for _, e := range entries {
			const long = 4
			binary.Write(&out, binary.LittleEndian, struct {
				Tag, Type    uint16
				Count, Value uint32
			}{uint16(e[0]), long, 1, e[1]})
		}
		next = uint32(out.Len())
		out.Write(make([]byte, 4))
	}
	return out.Bytes()
}

func notice(t *testing.T) image.Image {
	t.Helper()
	data, err := fs.ReadFile(samples.Pages(), "notice.gif")
	if err != nil {
		t.Fatal(err)
	}
	img, err := gif.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return img
}
