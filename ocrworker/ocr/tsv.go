package ocr

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// errNoHeader means that Tesseract, which writes the header before it looks at the image, could not write it.
var errNoHeader = errors.New("output lacks its header")

// layout is what a TSV file of Tesseract says about its pages.
type layout struct {
	pages, blocks, words int
	confidence           float64 // 0..1
}

// tsvColumns is the number of columns: level, page_num, block_num, par_num, line_num, word_num, left, top, width, height, conf, text.
const tsvColumns = 12

// The levels of rows that count here; between them are blocks (2), paragraphs (3) and lines (4).
const (
	levelPage = "1"
	levelWord = "5"
)

// parseTSV counts pages, blocks and words, and averages confidences: a block's is the mean of its words' above 0, the whole's is the
// mean of its blocks'. Words without visible text and blocks without words are not counted.
//
// The format has no quoting: a word may contain quotation marks, so encoding/csv can't read it.
func parseTSV(data []byte) (layout, error) {
	if !bytes.HasPrefix(data, []byte("level\t")) {
		return layout{}, errNoHeader
	}
	if !bytes.HasSuffix(data, []byte("\n")) {
		return layout{}, errors.New("output ends within a row")
	}
	var l layout
	type blockKey struct{ page, block string }
	type mean struct {
		sum   float64
		count int
	}
	var order []blockKey // a sum's last digits depend on the order of its terms
	blocks := make(map[blockKey]*mean)
	row := 0
	for line := range bytes.Lines(data) {
		row++
		if row == 1 {
			continue
		}
		columns := strings.SplitN(strings.TrimRight(string(line), "\r\n"), "\t", tsvColumns)
		if len(columns) != tsvColumns {
			return layout{}, fmt.Errorf("row %d of the output has %d columns, not %d", row, len(columns), tsvColumns)
		}
		switch columns[0] {
		case levelPage:
			l.pages++
		case levelWord:
			if strings.TrimSpace(columns[11]) == "" {
				continue
			}
			conf, err := strconv.ParseFloat(columns[10], 64)
			if err != nil || math.IsNaN(conf) {
				return layout{}, fmt.Errorf("row %d of the output has %.40q as confidence", row, columns[10])
			}
			l.words++
			key := blockKey{columns[1], columns[2]}
			b := blocks[key]
			if b == nil {
				b = new(mean)
				blocks[key] = b
				order = append(order, key)
			}
			if conf > 0 {
				b.sum += min(conf, 100)
				b.count++
			}
		}
	}
	for _, key := range order {
		if b := blocks[key]; b.count > 0 {
			l.confidence += b.sum / float64(b.count) / 100
		}
	}
	l.blocks = len(order)
	if l.blocks > 0 {
		l.confidence /= float64(l.blocks)
	}
	return l, nil
}
