package pages_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"testing"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
)

// pattern is a black and white image in which every part differs from the next, so that no format packs it to nothing.
func pattern(width, height int) *image.Paletted {
	m := image.NewPaletted(image.Rect(0, 0, width, height), color.Palette{color.White, color.Black})
	state := uint32(1)
	for i := range m.Pix {
		state = state*1664525 + 1013904223
		m.Pix[i] = uint8(state >> 31)
	}
	return m
}

var encoders = map[string]func(*bytes.Buffer, image.Image) error{
	"jpeg": func(w *bytes.Buffer, m image.Image) error { return jpeg.Encode(w, m, nil) },
	"png":  func(w *bytes.Buffer, m image.Image) error { return png.Encode(w, m) },
	"gif":  func(w *bytes.Buffer, m image.Image) error { return gif.Encode(w, m, nil) },
	"bmp":  func(w *bytes.Buffer, m image.Image) error { return bmp.Encode(w, m) },
	"tiff": func(w *bytes.Buffer, m image.Image) error { return tiff.Encode(w, m, nil) },
	"webp": encodeWebP,
}

func encode(t testing.TB, format string, m image.Image) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := encoders[format](&out, m); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// encodeWebP writes a lossless WebP of black and white: no transforms, and for each channel a code of one bit. Source: RFC 9649, 3.
func encodeWebP(w *bytes.Buffer, m image.Image) error {
	var stream []byte
	used := 0
	put := func(value, bits int) {
		for i := range bits {
			if used%8 == 0 {
				stream = append(stream, 0)
			}
			stream[len(stream)-1] |= byte(value>>i&1) << (used % 8)
			used++
		}
	}
	oneOf := func(symbols ...int) { // a simple code: its symbols have 8 bits each
		put(1, 1)
		put(len(symbols)-1, 1)
		put(1, 1)
		for _, s := range symbols {
			put(s, 8)
		}
	}
	b := m.Bounds()
	put(0x2f, 8)
	put(b.Dx()-1, 14)
	put(b.Dy()-1, 14)
	put(0, 1+3) // no alpha; version
	put(0, 3)   // no transform, no colour cache, one set of codes
	oneOf(0, 255)
	oneOf(0, 255)
	oneOf(0, 255)
	oneOf(255)
	oneOf(0)
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			gray := color.GrayModel.Convert(m.At(x, y)).(color.Gray)
			put(int(gray.Y>>7)*7, 3)
		}
	}
	w.Write(riff("VP8L", stream))
	return nil
}

// riff wraps chunks, name after body, to a WebP file.
func riff(name string, body []byte) []byte {
	size := len(body)
	if size%2 == 1 {
		body = append(body, 0)
	}
	out := binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(4+8+len(body)))
	out = append(out, "WEBP"+name...)
	out = binary.LittleEndian.AppendUint32(out, uint32(size))
	return append(out, body...)
}

// field is an entry of a TIFF directory with one value.
type field struct {
	tag, kind uint16
	value     uint32
}

const short, long = 3, 4

// tiffFile is a TIFF under construction: a header, and directories chained in the order in which they are added.
type tiffFile struct {
	order binary.AppendByteOrder
	data  []byte
	link  int // where the offset of the next directory goes
}

func newTIFF(order binary.AppendByteOrder) *tiffFile {
	magic := []byte("II")
	if order == binary.AppendByteOrder(binary.BigEndian) {
		magic = []byte("MM")
	}
	f := &tiffFile{order: order, data: order.AppendUint16(magic, 42), link: 4}
	f.data = order.AppendUint32(f.data, 0)
	return f
}

func (f *tiffFile) put(at int, v uint32) { copy(f.data[at:], f.order.AppendUint32(nil, v)) }

func (f *tiffFile) append(data []byte) (offset uint32) {
	f.data = append(f.data, data...)
	return uint32(len(f.data) - len(data))
}

// add chains a directory; the fields are in the order of their tags.
func (f *tiffFile) add(fields ...field) {
	f.put(f.link, uint32(len(f.data)))
	f.data = f.order.AppendUint16(f.data, uint16(len(fields)))
	for _, e := range fields {
		f.data = f.order.AppendUint16(f.data, e.tag)
		f.data = f.order.AppendUint16(f.data, e.kind)
		f.data = f.order.AppendUint32(f.data, 1)
		if e.kind == short {
			f.data = f.order.AppendUint16(f.data, uint16(e.value))
			f.data = f.order.AppendUint16(f.data, 0)
		} else {
			f.data = f.order.AppendUint32(f.data, e.value)
		}
	}
	f.link = len(f.data)
	f.data = f.order.AppendUint32(f.data, 0)
}

// addGray adds a page of 8 bits a pixel in one strip; more fields may replace or add to its own.
func (f *tiffFile) addGray(m image.Image, more ...field) {
	b := m.Bounds()
	var pix []byte
	for y := range b.Dy() {
		for x := range b.Dx() {
			pix = append(pix, color.GrayModel.Convert(m.At(x, y)).(color.Gray).Y)
		}
	}
	f.addStrip(b.Dx(), b.Dy(), 1, 8, pix, more...)
}

func (f *tiffFile) addStrip(width, height, compression, bits int, strip []byte, more ...field) {
	at := f.append(strip)
	fields := []field{
		{256, long, uint32(width)}, {257, long, uint32(height)}, {258, short, uint32(bits)}, {259, short, uint32(compression)},
		{262, short, 1}, {273, long, at}, {277, short, 1}, {278, long, uint32(height)}, {279, long, uint32(len(strip))},
	}
	for _, e := range more {
		i := 0
		for i < len(fields) && fields[i].tag < e.tag {
			i++
		}
		if i < len(fields) && fields[i].tag == e.tag {
			fields[i] = e
		} else {
			fields = append(fields[:i], append([]field{e}, fields[i:]...)...)
		}
	}
	f.add(fields...)
}

// rational appends a fraction and returns its offset.
func (f *tiffFile) rational(num, den uint32) uint32 {
	return f.append(f.order.AppendUint32(f.order.AppendUint32(nil, num), den))
}

// pngChunk is a chunk with its checksum.
func pngChunk(name string, body []byte) []byte {
	out := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	out = append(append(out, name...), body...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[4:]))
}

// pngHeader is a PNG that says how large it is and has nothing more.
func pngHeader(width, height uint32, more ...[]byte) []byte {
	header := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, width), height)
	out := append([]byte("\x89PNG\r\n\x1a\n"), pngChunk("IHDR", append(header, 8, 0, 0, 0, 0))...)
	return append(out, bytes.Join(more, nil)...)
}
