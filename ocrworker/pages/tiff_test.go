package pages_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"testing"

	"golang.org/x/image/tiff"

	"github.com/gvpocr/worker/ocrworker/pages"
)

func TestEachPageOfATIFFIsATIFFOfItsOwn(t *testing.T) {
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		f := newTIFF(order)
		f.addGray(pattern(200, 20), field{254, long, 1}) // a thumbnail first
		f.addGray(pattern(10, 10))
		f.addGray(pattern(20, 10), field{254, long, 2})
		f.addGray(pattern(20, 10), field{254, long, 4}) // a mask
		f.addGray(pattern(30, 10))
		got, err := readPages(t, "a.tif", f.data, pages.Limits{})
		if err != nil || len(got) != 3 {
			t.Fatalf("%v: %d pages, %v", order, len(got), err)
		}
		for i, p := range got {
			width := 10 * (i + 1)
			m, err := tiff.Decode(bytes.NewReader(p.Data))
			if err != nil || p.Width != width || m.Bounds() != image.Rect(0, 0, width, 10) {
				t.Errorf("%v: page %d: %v, %v", order, i+1, m, err)
			}
			if again, err := readPages(t, "a.tif", p.Data, pages.Limits{}); err != nil || len(again) != 1 {
				t.Errorf("%v: page %d has %d pages, %v", order, i+1, len(again), err)
			}
		}
	}
}

func TestPagesOfATIFFFailOneByOne(t *testing.T) {
	f := newTIFF(binary.LittleEndian)
	f.addGray(pattern(10, 10))
	f.addGray(pattern(20, 10), field{273, long, 1 << 30}) // pixels beyond the end
	f.addGray(pattern(30000, 1), field{257, long, 30000})
	f.addStrip(10, 10, 8, 8, []byte("no deflated data"))
	f.add(field{256, long, 5})
	f.addGray(pattern(30, 10))
	file, err := pages.Read(open(t, f.data), "a.tif", pages.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := []error{nil, pages.ErrCutOff, pages.ErrTooLarge, pages.ErrDamaged, pages.ErrDamaged, nil}
	for page, err := range file.Pages() {
		if !errors.Is(err, want[page.Number-1]) {
			t.Errorf("page %d: %v, want %v", page.Number, err, want[page.Number-1])
		}
		var e *pages.Error
		if err != nil && (!errors.As(err, &e) || e.Page != page.Number || page.Data != nil) {
			t.Errorf("page %d: %v", page.Number, err)
		}
	}
	for range file.Pages() {
		break // the rest is not made
	}
}

func TestHostileChainOfDirectoriesEnds(t *testing.T) {
	chain := func(pages int) *tiffFile {
		f := newTIFF(binary.LittleEndian)
		for range pages {
			f.addGray(pattern(4, 4))
		}
		return f
	}
	ring := chain(3)
	ring.put(ring.link, binary.LittleEndian.Uint32(ring.data[4:]))
	beyond := chain(2)
	beyond.put(beyond.link, 1<<31)
	torn := chain(1)
	torn.put(torn.link, uint32(len(torn.data)-2))
	inHeader := chain(1)
	inHeader.put(inHeader.link, 2)
	for name, test := range map[string]struct {
		data []byte
		want error
	}{
		"ring":                  {ring.data, pages.ErrDamaged},
		"beyond the end":        {beyond.data, pages.ErrCutOff},
		"directory is torn":     {torn.data, pages.ErrCutOff},
		"within the header":     {inHeader.data, pages.ErrDamaged},
		"none":                  {append(newTIFF(binary.BigEndian).data, 0, 0, 0, 0), pages.ErrDamaged},
		"more pages than limit": {chain(11).data, pages.ErrTooLarge},
	} {
		if got, err := readPages(t, "a.tif", test.data, pages.Limits{MaxPages: 10}); !errors.Is(err, test.want) || len(got) > 0 {
			t.Errorf("%s: %d pages, %v", name, len(got), err)
		}
	}
	if got, err := readPages(t, "a.tif", chain(10).data, pages.Limits{MaxPages: 10}); err != nil || len(got) != 10 {
		t.Errorf("ten pages: %d, %v", len(got), err)
	}
}
