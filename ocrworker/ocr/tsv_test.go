package ocr

import (
	"errors"
	"math"
	"strings"
	"testing"
)

const tsvHeader = "level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext\n"

// word is a row of a word in a block.
func word(block, conf, text string) string {
	return "5\t1\t" + block + "\t1\t1\t1\t0\t0\t9\t9\t" + conf + "\t" + text + "\n"
}

const pageRow = "1\t1\t0\t0\t0\t0\t0\t0\t900\t200\t-1\t\n"

func TestTSVGivesBlocksWordsAndConfidence(t *testing.T) {
	for name, test := range map[string]struct {
		rows string
		want layout
	}{
		"no page":                      {"", layout{}},
		"empty page":                   {pageRow, layout{pages: 1}},
		"one word":                     {pageRow + word("1", "90", "a"), layout{1, 1, 1, 0.9}},
		"mean of words":                {pageRow + word("1", "90", "a") + word("1", "70.5", "b"), layout{1, 1, 2, 0.8025}},
		"mean of blocks, not of words": {pageRow + word("1", "100", "a") + word("1", "100", "b") + word("2", "50", "c"), layout{1, 2, 3, 0.75}},
		"confidence 0 is left out":     {pageRow + word("1", "0", "a") + word("1", "80", "b"), layout{1, 1, 2, 0.8}},
		"confidence -1 is left out":    {pageRow + word("1", "-1", "a") + word("1", "80", "b"), layout{1, 1, 2, 0.8}},
		"block without confidence":     {pageRow + word("1", "0", "a") + word("2", "80", "b"), layout{1, 2, 2, 0.4}},
		"blank words":                  {pageRow + word("1", "95", " ") + word("2", "95", "") + word("3", "60", "x"), layout{1, 1, 1, 0.6}},
		"quotation marks":              {pageRow + word("1", "50", `"he said`) + word("1", "50", `""`), layout{1, 1, 2, 0.5}},
		"line ends of Windows":         {strings.ReplaceAll(pageRow+word("1", "50", "a"), "\n", "\r\n"), layout{1, 1, 1, 0.5}},
		"beyond the scale":             {pageRow + word("1", "1e300", "a"), layout{1, 1, 1, 1}},
	} {
		got, err := parseTSV([]byte(tsvHeader + test.rows))
		if err != nil || got.pages != test.want.pages || got.blocks != test.want.blocks || got.words != test.want.words ||
			math.Abs(got.confidence-test.want.confidence) > 1e-9 {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, test.want)
		}
	}
}

func TestTornTSVIsAnError(t *testing.T) {
	for name, data := range map[string]string{
		"ends within a row": tsvHeader + strings.TrimSuffix(pageRow, "\n"),
		"too few columns":   tsvHeader + "1\t1\t0\n",
		"no confidence":     tsvHeader + pageRow + word("1", "", "a"),
		"not a number":      tsvHeader + pageRow + word("1", "NaN", "a"),
		"half a header":     "level\tpage_num",
	} {
		if l, err := parseTSV([]byte(data)); err == nil {
			t.Errorf("%s: %+v", name, l)
		}
	}
	for _, data := range []string{"", "Hello", pageRow} {
		if _, err := parseTSV([]byte(data)); !errors.Is(err, errNoHeader) {
			t.Errorf("%q: %v", data, err)
		}
	}
}

func FuzzParseTSV(f *testing.F) {
	for _, rows := range []string{"", pageRow, pageRow + word("1", "90", "a"), pageRow + word("1", "-1", `"`), "5\t\t\t", word("1", "Inf", "a"), "\n\n"} {
		f.Add([]byte(tsvHeader + rows))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := parseTSV(data)
		if err != nil {
			return
		}
		if !(l.confidence >= 0 && l.confidence <= 1) || l.blocks > l.words || l.words > len(data) || (l.words > 0) != (l.blocks > 0) {
			t.Errorf("%+v", l)
		}
	})
}
