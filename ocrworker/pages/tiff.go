package pages

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"slices"

	"golang.org/x/image/tiff"
)

// The tags of a TIFF image file directory (IFD) that matter here, and the values that do. Source: TIFF 6.0, 1992.
const (
	tagSubfileType     = 254
	tagWidth           = 256
	tagHeight          = 257
	tagCompression     = 259
	tagStripOffsets    = 273
	tagStripByteCounts = 279
	tagXResolution     = 282
	tagPlanarConfig    = 284
	tagResolutionUnit  = 296
	tagTileOffsets     = 324
	tagTileByteCounts  = 325

	reducedImage, mask = 1 << 0, 1 << 2 // SubfileType
	planesApart        = 2              // PlanarConfig
	perCentimetre      = 3              // ResolutionUnit

	headerSize = 8

	ccittRLE, ccittG3, ccittG4 = 2, 3, 4 // Compression
)

// ifd is one directory of a classic TIFF.
type ifd struct {
	order   binary.ByteOrder
	offset  int64 // of the directory
	entries int
}

// next returns the place of the offset of the following directory.
func (d ifd) next() int64 { return d.offset + 2 + int64(d.entries)*12 }

func byteOrder(data []byte) binary.ByteOrder {
	if data[0] == 'M' {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// findIFDs walks the chain of directories, which hostile files close to a ring or send anywhere. Directories of thumbnails and
// masks are no pages.
func findIFDs(data []byte, maxPages int) ([]ifd, error) {
	order := byteOrder(data)
	var all, found []ifd
	seen := make(map[int64]bool)
	for offset := int64(order.Uint32(data[4:])); offset != 0; {
		d := ifd{order: order, offset: offset}
		if offset < headerSize { // the header's offset is written anew for each page: it may not change a directory
			return nil, fmt.Errorf("%w: page %d of the TIFF begins within the header", ErrDamaged, len(all)+1)
		}
		if offset+2 > int64(len(data)) {
			return nil, fmt.Errorf("%w: page %d begins at byte %d of %d", ErrCutOff, len(all)+1, offset, len(data))
		}
		d.entries = int(order.Uint16(data[offset:]))
		if d.next()+4 > int64(len(data)) {
			return nil, fmt.Errorf("%w: the directory of page %d ends at byte %d of %d", ErrCutOff, len(all)+1, d.next()+4, len(data))
		}
		if seen[offset] {
			return nil, fmt.Errorf("%w: page %d of the TIFF points back to an earlier one", ErrDamaged, len(all))
		}
		seen[offset] = true
		all = append(all, d)
		if kind, _ := d.number(data, tagSubfileType); kind&(reducedImage|mask) == 0 {
			found = append(found, d)
		}
		if maxPages > 0 && len(all) > maxPages {
			return nil, fmt.Errorf("%w: more than %d pages", ErrTooLarge, maxPages)
		}
		offset = int64(order.Uint32(data[d.next():]))
	}
	switch {
	case len(all) == 0:
		return nil, fmt.Errorf("%w: a TIFF without pages", ErrDamaged)
	case len(found) == 0:
		return all, nil
	}
	return found, nil
}

// tiffPage makes the page of one directory: a copy of the file whose first directory it is and, cut off from the next, the last.
// A file of one directory is its own page.
func tiffPage(data []byte, d ifd, l Limits) (Page, error) {
	width, okWidth := d.number(data, tagWidth)
	height, okHeight := d.number(data, tagHeight)
	if !okWidth || !okHeight {
		return Page{}, fmt.Errorf("%w: a TIFF without width or height", ErrDamaged)
	}
	page := Page{Data: data, Format: "tiff", DPI: d.dpi(data), Width: int(width), Height: int(height)}
	if err := l.check(page.Width, page.Height); err != nil {
		return Page{}, err
	}
	if err := d.checkExtents(data); err != nil {
		return Page{}, err
	}
	if int64(d.order.Uint32(data[4:])) != d.offset || d.order.Uint32(data[d.next():]) != 0 {
		page.Data = bytes.Clone(data)
		d.order.PutUint32(page.Data[4:], uint32(d.offset))
		d.order.PutUint32(page.Data[d.next():], 0)
	}
	if !d.decodable(data) {
		return page, nil
	}
	if _, err := decode(page.Data, codec{decode: decodeTIFF}); err != nil && !unsupported(err) {
		return Page{}, err
	}
	return page, nil
}

// decodeTIFF passes a FormatError as one of a variant that is not supported: the package has it also for files that libtiff, which
// judges next, reads, such as those with more samples than it knows. Those that are cut off have been found by checkExtents.
func decodeTIFF(r io.Reader) (image.Image, error) {
	img, err := tiff.Decode(r)
	if e := tiff.FormatError(""); errors.As(err, &e) {
		err = tiff.UnsupportedError(e)
	}
	return img, err
}

// decodable tells whether x/image/tiff reads the layout of this page. It takes planes for pixels, and one CCITT variant for another.
func (d ifd) decodable(data []byte) bool {
	planar, _ := d.number(data, tagPlanarConfig)
	compression, _ := d.number(data, tagCompression)
	return planar != planesApart && !slices.Contains([]uint32{ccittRLE, ccittG3, ccittG4}, compression)
}

// checkExtents checks that the strips or tiles lie within the file.
func (d ifd) checkExtents(data []byte) error {
	for _, tags := range [][2]uint16{{tagStripOffsets, tagStripByteCounts}, {tagTileOffsets, tagTileByteCounts}} {
		offsets, err := d.values(data, tags[0])
		if err != nil {
			return err
		}
		counts, err := d.values(data, tags[1])
		if err != nil {
			return err
		}
		for i := range min(offsets.len(), counts.len()) {
			if end := int64(offsets.at(i)) + int64(counts.at(i)); end > int64(len(data)) {
				return fmt.Errorf("%w: its pixels end at byte %d of %d", ErrCutOff, end, len(data))
			}
		}
	}
	return nil
}

func (d ifd) dpi(data []byte) int {
	const rational = 5
	e := d.entry(data, tagXResolution)
	if e == nil || d.order.Uint16(e[2:]) != rational {
		return 0
	}
	at := int64(d.order.Uint32(e[8:]))
	if at+8 > int64(len(data)) {
		return 0
	}
	// A denominator of zero gives a value that is not plausible.
	dpi := float64(d.order.Uint32(data[at:])) / float64(d.order.Uint32(data[at+4:]))
	if unit, _ := d.number(data, tagResolutionUnit); unit == perCentimetre {
		dpi *= 2.54
	}
	return plausibleDPI(dpi)
}

// entry returns the 12 bytes of a tag: tag, type, count, value or its offset; nil when there are none.
func (d ifd) entry(data []byte, tag uint16) []byte {
	for e := range slices.Chunk(data[d.offset+2:d.next()], 12) {
		if d.order.Uint16(e) == tag {
			return e
		}
	}
	return nil
}

// number returns the first value of a tag, and whether there is one.
func (d ifd) number(data []byte, tag uint16) (uint32, bool) {
	v, err := d.values(data, tag)
	if err != nil || v.len() == 0 {
		return 0, false
	}
	return v.at(0), true
}

// values is the list of unsigned numbers of a tag. Its zero value is empty.
type values struct {
	order binary.ByteOrder
	raw   []byte
	width int // bytes of a number
}

func (v values) len() int {
	if v.width == 0 {
		return 0
	}
	return len(v.raw) / v.width
}

func (v values) at(i int) uint32 {
	raw := v.raw[i*v.width:]
	switch v.width {
	case 1:
		return uint32(raw[0])
	case 2:
		return uint32(v.order.Uint16(raw))
	}
	return v.order.Uint32(raw)
}

// values returns the numbers of a tag, none when it is missing or of another type; an error when they lie beyond the file.
func (d ifd) values(data []byte, tag uint16) (values, error) {
	e := d.entry(data, tag)
	if e == nil {
		return values{}, nil
	}
	v := values{order: d.order}
	switch d.order.Uint16(e[2:]) {
	case 1: // BYTE
		v.width = 1
	case 3: // SHORT
		v.width = 2
	case 4: // LONG
		v.width = 4
	default:
		return values{}, nil
	}
	size := int64(d.order.Uint32(e[4:])) * int64(v.width)
	if size <= 4 {
		v.raw = e[8 : 8+size]
		return v, nil
	}
	at := int64(d.order.Uint32(e[8:]))
	if at+size > int64(len(data)) {
		return values{}, fmt.Errorf("%w: a list of the TIFF ends at byte %d of %d", ErrCutOff, at+size, len(data))
	}
	v.raw = data[at : at+size]
	return v, nil
}
