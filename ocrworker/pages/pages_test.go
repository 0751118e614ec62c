package pages_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/gvpocr/worker/ocrworker/ocr"
	"github.com/gvpocr/worker/ocrworker/pages"
)

// open makes data a file.
func open(t testing.TB, data []byte) fs.File {
	t.Helper()
	f, err := fstest.MapFS{"f": {Data: data}}.Open("f")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// readPages returns the pages that can be used, and the first error of the file or a page.
func readPages(t testing.TB, name string, data []byte, l pages.Limits) (good []pages.Page, err error) {
	t.Helper()
	before := bytes.Clone(data)
	file, err := pages.Read(open(t, data), name, l)
	if err != nil {
		return nil, err
	}
	n := 0
	for page, pageErr := range file.Pages() {
		if n++; page.Number != n {
			t.Errorf("page %d has the number %d", n, page.Number)
		}
		if pageErr == nil {
			good = append(good, page)
		} else if err == nil {
			err = pageErr
		}
	}
	if n != file.Len() {
		t.Errorf("Len is %d, pages were %d", file.Len(), n)
	}
	if !bytes.Equal(data, before) {
		t.Error("the file's bytes have been changed")
	}
	return good, err
}

func TestImageOfEveryFormatIsOnePage(t *testing.T) {
	img := pattern(100, 60)
	for format := range encoders {
		data := encode(t, format, img)
		// The content decides; the extension is only one of those that are accepted.
		for _, name := range []string{"a." + format, "dir/b.JPG", "c.Tiff"} {
			got, err := readPages(t, name, data, pages.Limits{})
			if err != nil || len(got) != 1 {
				t.Errorf("%s as %s: %d pages, %v", format, name, len(got), err)
				continue
			}
			p := got[0]
			if p.Number != 1 || p.Width != 100 || p.Height != 60 || ocr.ImageFormat(p.Data) != p.Format {
				t.Errorf("%s: page %d of %d×%d, %d dpi, format %s", format, p.Number, p.Width, p.Height, p.DPI, p.Format)
			}
			if format != "gif" && (!bytes.Equal(p.Data, data) || p.Format != format) {
				t.Errorf("%s: the image has been changed", format)
			}
		}
	}
}

func TestSizeIsThatOfTheFile(t *testing.T) {
	data := encode(t, "png", pattern(10, 10))
	if file, err := pages.Read(open(t, data), "a.png", pages.Limits{}); err != nil || file.Size != int64(len(data)) {
		t.Errorf("%+v, %v", file, err)
	}
}

func TestImageThatIsCutOffIsRefused(t *testing.T) {
	img := pattern(100, 60)
	for format := range encoders {
		data := encode(t, format, img)
		for _, part := range []int{30, 50, 90, 99} {
			got, err := readPages(t, "a."+format, data[:len(data)*part/100], pages.Limits{})
			if !errors.Is(err, pages.ErrCutOff) || len(got) > 0 {
				t.Errorf("%d %% of a %s: %d pages, %v", part, format, len(got), err)
			}
		}
		for cut := range len(data) / 4 {
			if got, err := readPages(t, "a."+format, data[:cut], pages.Limits{}); err == nil || len(got) > 0 {
				t.Errorf("%d bytes of a %s are accepted", cut, format)
			}
		}
	}
}

// A copy that was interrupted may have its whole length, with zeros at the end.
func TestImageThatIsFilledUpWithZerosIsRefused(t *testing.T) {
	for _, format := range []string{"jpeg", "png", "gif"} {
		data := encode(t, format, pattern(100, 60))
		clear(data[len(data)/2:])
		if got, err := readPages(t, "a."+format, data, pages.Limits{}); err == nil || len(got) > 0 {
			t.Errorf("a %s: %v", format, err)
		}
	}
}

func TestFileThatIsNoImageIsRefusedWithItsReason(t *testing.T) {
	for name, test := range map[string]struct {
		file string
		data string
		want error
		says string
	}{
		"other extension":         {"a.txt", "\x89PNG\r\n\x1a\n", pages.ErrExtension, ".png"},
		"no extension":            {"jpg", "\x89PNG\r\n\x1a\n", pages.ErrExtension, ".png"},
		"extension of a folder":   {"a.png/b", "\x89PNG\r\n\x1a\n", pages.ErrExtension, ".png"},
		"empty":                   {"a.png", "", pages.ErrEmpty, "empty"},
		"name of another image":   {"a.png", "/srv/files/other.png\n", pages.ErrNotImage, "text/plain"},
		"begins like a bitmap":    {"a.bmp", "BM/srv/files/other.png\n", pages.ErrNotImage, "known format"},
		"HTML":                    {"a.jpg", "<!DOCTYPE html><html>404", pages.ErrNotImage, "text/html"},
		"ZIP":                     {"a.tif", "PK\x03\x04aaaaaaaaaaaaaaaa", pages.ErrNotImage, "application/zip"},
		"BigTIFF":                 {"a.tif", "II+\x00\x08\x00\x00\x00aaaaaaaaaaaa", pages.ErrNotImage, "BigTIFF"},
		"PDF":                     {"a.pdf", "%PDF-1.7\n", pages.ErrPDF, "not supported"},
		"PDF named .jpg":          {"a.jpg", "\n%PDF-1.7\n", pages.ErrPDF, "not supported"},
		"animated WebP":           {"a.webp", string(riff("VP8X", []byte{2, 0, 0, 0, 9, 0, 0, 9, 0, 0})), pages.ErrNotImage, "animated"},
		"PNG without pixels":      {"a.png", string(pngHeader(0, 5)), pages.ErrDamaged, "dimension"},
		"PNG with a bad checksum": {"a.png", strings.Replace(string(pngHeader(5, 5)), "IHDR", "IHDX", 1), pages.ErrDamaged, "png"},
	} {
		_, err := readPages(t, test.file, []byte(test.data), pages.Limits{})
		var e *pages.Error
		if !errors.Is(err, test.want) || !errors.As(err, &e) || e.Name != test.file || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLimitsHoldBeforeAnythingIsDecoded(t *testing.T) {
	webp := encode(t, "webp", pattern(10, 10))
	copy(webp[21:], []byte{0xff, 0xff, 0xff, 0x0f}) // 16384×16384
	gif := encode(t, "gif", pattern(10, 10))
	copy(gif[6:], "\xff\x7f\xff\x7f")
	bmp := encode(t, "bmp", pattern(10, 10))
	copy(bmp[18:], "\x00\x70\x00\x00\x00\x70\x00\x00")
	tif := newTIFF(binary.BigEndian)
	tif.addStrip(30000, 30000, 1, 8, []byte("few"))
	jpg := encode(t, "jpeg", pattern(10, 10))
	sof := bytes.Index(jpg, []byte("\xff\xc0"))
	copy(jpg[sof+5:], "\x70\x00\x70\x00")
	for name, data := range map[string][]byte{
		"png": pngHeader(30000, 30000), "webp": webp, "gif": gif, "bmp": bmp, "tiff": tif.data, "jpeg": jpg,
		"a long side": pngHeader(32768, 1),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := readPages(t, "a.png", data, pages.Limits{}); !errors.Is(err, pages.ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
		runtime.ReadMemStats(&after)
		allocated := after.TotalAlloc - before.TotalAlloc
		if allocated > 1<<20 {
			t.Errorf("%s: %d bytes were allocated", name, allocated)
		}
	}
	small := encode(t, "png", pattern(100, 60))
	for name, l := range map[string]pages.Limits{
		"bytes":  {MaxBytes: int64(len(small)) - 1},
		"pixels": {MaxPixels: 5999},
		"side":   {MaxSide: 99},
	} {
		if _, err := readPages(t, "a.png", small, l); !errors.Is(err, pages.ErrTooLarge) {
			t.Errorf("limit of %s: %v", name, err)
		}
	}
	exact := pages.Limits{MaxBytes: int64(len(small)), MaxPixels: 6000, MaxSide: 100, MaxPages: 1}
	if _, err := readPages(t, "a.png", small, exact); err != nil {
		t.Errorf("within exact limits: %v", err)
	}
	if _, err := readPages(t, "a.png", small, pages.Limits{MaxBytes: -1, MaxPages: -1, MaxPixels: -1, MaxSide: -1}); err != nil {
		t.Errorf("without limits: %v", err)
	}
	if _, err := readPages(t, "a.png", pngHeader(30000, 30000), pages.Limits{MaxPixels: -1, MaxSide: -1}); !errors.Is(err, pages.ErrTooLarge) {
		t.Errorf("a bomb without limits: %v", err)
	}
}

// growing is a file that has more bytes than Stat says.
type growing struct{ fs.File }

func (g growing) Read(p []byte) (int, error) { return len(p), nil }

func TestFileThatGrowsWhileItIsReadIsBounded(t *testing.T) {
	if _, err := pages.Read(growing{open(t, []byte("x"))}, "a.png", pages.Limits{MaxBytes: 1 << 20}); !errors.Is(err, pages.ErrTooLarge) {
		t.Error(err)
	}
}

// failing is a file on a disk that breaks.
type failing struct{ fs.File }

func (failing) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: "f", Err: syscall.EIO}
}

func TestErrorOfIOIsNotPermanent(t *testing.T) {
	_, err := pages.Read(failing{open(t, []byte("x"))}, "a.png", pages.Limits{})
	var e *pages.Error
	if !errors.Is(err, syscall.EIO) || errors.As(err, &e) {
		t.Error(err)
	}
}

func TestOnlyTheFirstFrameOfAnAnimationIsAPage(t *testing.T) {
	first := encode(t, "gif", pattern(50, 40))
	frame := first[bytes.LastIndexByte(first[:len(first)/3], 0x2c) : len(first)-1]
	bomb := append(bytes.Clone(first[:len(first)-1]), bytes.Repeat(frame, 100)...)
	got, err := readPages(t, "a.gif", append(bomb, 0x3b), pages.Limits{})
	if err != nil || len(got) != 1 || got[0].Format != "png" || len(got[0].Data) > 2*len(first) {
		t.Errorf("%d pages, %v", len(got), err)
	}
}

func TestValidVariantThatGoDoesNotDecodeGoesToTheEngine(t *testing.T) {
	twelveBit := encode(t, "jpeg", pattern(100, 60))
	twelveBit[bytes.Index(twelveBit, []byte("\xff\xc0"))+4] = 12
	gap := encode(t, "bmp", pattern(100, 60))
	gap[10] += 8 // the pixels begin later
	jpegInTIFF := newTIFF(binary.LittleEndian)
	jpegInTIFF.addStrip(100, 60, 7, 8, encode(t, "jpeg", pattern(100, 60)))
	fourBits := newTIFF(binary.LittleEndian)
	fourBits.addStrip(100, 60, 1, 4, make([]byte, 3000))
	planes := newTIFF(binary.LittleEndian)
	planes.addGray(pattern(100, 60), field{284, short, 2})
	fax := newTIFF(binary.LittleEndian)
	fax.addStrip(100, 60, 4, 1, []byte{0, 0x10, 0x01, 0, 0x10, 0x01})
	for name, data := range map[string][]byte{
		"JPEG of 12 bits": twelveBit, "BMP with a gap": gap, "JPEG in TIFF": jpegInTIFF.data, "TIFF of 4 bits": fourBits.data,
		"TIFF of planes": planes.data, "TIFF of a fax": fax.data,
	} {
		got, err := readPages(t, "a.tif", data, pages.Limits{})
		if err != nil || len(got) != 1 || got[0].Width != 100 || got[0].Height != 60 {
			t.Errorf("%s: %d pages, %v", name, len(got), err)
		}
		if _, err := readPages(t, "a.tif", data, pages.Limits{MaxPixels: 5000}); !errors.Is(err, pages.ErrTooLarge) {
			t.Errorf("%s beyond the limit: %v", name, err)
		}
	}
}

func TestJPEGOfCountlessScansIsRefused(t *testing.T) {
	data := encode(t, "jpeg", pattern(16, 16))
	scan := data[bytes.Index(data, []byte("\xff\xda")) : len(data)-2]
	many := append(bytes.Clone(data[:len(data)-2]), bytes.Repeat(scan, 600)...)
	if _, err := readPages(t, "a.jpg", append(many, 0xff, 0xd9), pages.Limits{}); !errors.Is(err, pages.ErrTooLarge) {
		t.Error(err)
	}
}

func TestDPIIsTakenFromTheFile(t *testing.T) {
	png := encode(t, "png", pattern(20, 20))
	withPHYs := func(perMetre uint32, unit byte) []byte {
		body := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, perMetre), perMetre)
		return bytes.Join([][]byte{png[:33], pngChunk("pHYs", append(body, unit)), png[33:]}, nil)
	}
	jpg := encode(t, "jpeg", pattern(20, 20))
	withJFIF := func(unit byte, density uint16) []byte {
		app0 := append([]byte("\xff\xe0\x00\x10JFIF\x00\x01\x02"), unit, byte(density>>8), byte(density), byte(density>>8), byte(density), 0, 0)
		return bytes.Join([][]byte{jpg[:2], app0, jpg[2:]}, nil)
	}
	withTags := func(num, den uint32, unit uint32) []byte {
		f := newTIFF(binary.BigEndian)
		f.addGray(pattern(20, 20), field{282, 5, f.rational(num, den)}, field{296, short, unit})
		return f.data
	}
	for name, test := range map[string]struct {
		data []byte
		want int
	}{
		"PNG of 300 dpi":                 {withPHYs(11811, 1), 300},
		"PNG without a unit":             {withPHYs(11811, 0), 0},
		"PNG of 1 dpi":                   {withPHYs(39, 1), 0},
		"JPEG of 200 dpi":                {withJFIF(1, 200), 200},
		"JPEG of 118 per centimetre":     {withJFIF(2, 118), 300},
		"JPEG with a ratio only":         {withJFIF(0, 100), 0},
		"JPEG of 65535 dpi":              {withJFIF(1, 65535), 0},
		"TIFF of 150 dpi":                {withTags(300, 2, 2), 150},
		"TIFF of 59.06 per centimetre":   {withTags(5906, 100, 3), 150},
		"TIFF with a denominator of 0":   {withTags(300, 0, 2), 0},
		"TIFF with nothing over nothing": {withTags(0, 0, 2), 0},
		"TIFF of four billion dpi":       {withTags(1<<32-1, 1, 2), 0},
	} {
		got, err := readPages(t, "a.png", test.data, pages.Limits{})
		if err != nil || len(got) != 1 || got[0].DPI != test.want {
			t.Errorf("%s: %v, %v", name, err, got[0].DPI)
		}
	}
}

func FuzzRead(f *testing.F) {
	for format := range encoders {
		data := encode(f, format, pattern(24, 16))
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		tif := newTIFF(order)
		tif.addGray(pattern(10, 10), field{254, long, 1})
		tif.addGray(pattern(10, 10), field{282, 5, tif.rational(300, 1)})
		tif.addStrip(10, 10, 5, 8, []byte{0x80, 0x00, 0x40})
		tif.addStrip(10, 10, 32773, 8, []byte{0x9d, 0x00})
		f.Add(tif.data)
	}
	f.Add(pngHeader(1<<16, 1<<16, pngChunk("pHYs", make([]byte, 9))))
	f.Add([]byte("/srv/files/a.png"))
	f.Add([]byte("%PDF-1.4"))
	f.Add([]byte{})
	limits := pages.Limits{MaxBytes: 1 << 16, MaxPixels: 1 << 16, MaxPages: 20}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := readPages(t, "a.png", data, limits)
		var e *pages.Error
		if err != nil && !errors.As(err, &e) {
			t.Errorf("not permanent: %v", err)
		}
		for _, p := range got {
			if ocr.ImageFormat(p.Data) != p.Format || int64(p.Width)*int64(p.Height) > limits.MaxPixels || p.Width <= 0 || p.Height <= 0 {
				t.Errorf("page %d: %s of %d×%d", p.Number, p.Format, p.Width, p.Height)
			}
		}
	})
}
