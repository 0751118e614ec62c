package samples_test

import (
	"math"
	"strings"
	"testing"

	"github.com/gvpocr/worker/test/samples"
)

var ratePairs = []struct {
	name, truth, recognized string
	want                    float64
}{
	{"the same text", "a page", "a page", 0},
	{"one replaced", "abcdefghij", "abcdXfghij", 0.1},
	{"one missing", "abcdefghij", "abcdfghij", 0.1},
	{"one too many", "abcdefghij", "abcdeXfghij", 0.1},
	{"several faults", "kitten", "sitting", 3.0 / 6},
	{"line breaks are one space", "one two\nthree", "\n one\r\n\r\ntwo \t three\f", 0},
	{"no space at all is a fault", "one two", "onetwo", 1.0 / 7},
	{"typographic quotes are plain ones", "“It’s ‘so’,” „he‟ said", `"It's 'so'," "he" said`, 0},
	{"dashes are hyphens", "a—b–c‐d−e", "a-b-c-d-e", 0},
	{"guillemets are not quotes", `"ab"`, "«ab»", 2.0 / 4},
	{"case counts", "Page", "page", 1.0 / 4},
	{"characters count, not bytes", "किताबें", "किताब", 2.0 / 7},
	{"nothing recognized", "abcd", " \n", 1},
	{"nothing there, nothing recognized", " ", "\f", 0},
	{"nothing there, something recognized", "", "speck", 1},
	{"twice as long is compared", "ab", "abxy", 1},
	{"far too long is the surplus", "ab", "xxxxxx", 2},
}

func TestErrorRateIsTheShareOfWrongCharacters(t *testing.T) {
	for _, c := range ratePairs {
		if got := samples.ErrorRate(c.truth, c.recognized); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: ErrorRate(%q, %q) = %v, want %v", c.name, c.truth, c.recognized, got, c.want)
		}
	}
}

func TestErrorRateOfTextsBeyond16BitsIsExact(t *testing.T) {
	truth := strings.Repeat("a", 70_000)
	for recognized, want := range map[string]float64{
		"b":                    1,
		truth[:35_000] + "bbb": 35_000.0 / 70_000,
	} {
		if got := samples.ErrorRate(truth, recognized); got != want {
			t.Errorf("%d characters of 70000: %v, want %v", len(recognized), got, want)
		}
	}
}

func FuzzErrorRate(f *testing.F) {
	for _, c := range ratePairs {
		f.Add(c.truth, c.recognized)
	}
	f.Fuzz(func(t *testing.T, truth, recognized string) {
		if len(truth) > 1000 || len(recognized) > 1000 {
			t.Skip("slow by the square")
		}
		rate := samples.ErrorRate(truth, recognized)
		if math.IsNaN(rate) || math.IsInf(rate, 0) || rate < 0 {
			t.Errorf("ErrorRate = %v", rate)
		}
		if again := samples.ErrorRate(" "+truth+"\n", "\t"+recognized+"\f"); again != rate {
			t.Errorf("with white space around: %v, without: %v", again, rate)
		}
		if self := samples.ErrorRate(truth, truth); self != 0 {
			t.Errorf("a text against itself: %v", self)
		}
	})
}

func BenchmarkErrorRateOf5000Characters(b *testing.B) {
	truth := "x" + strings.Repeat("पन्ने की तस्वीर", 334) + "y"
	recognized := "X" + strings.Repeat("पन्ने को तस्वीर", 334) + "Y"
	for b.Loop() {
		samples.ErrorRate(truth, recognized)
	}
}
