package main

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	_ "image/gif"
	_ "image/jpeg"
	_ "image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	_ "golang.org/x/image/tiff"
)

// These tests are inside the package because a command cannot be imported.

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var sample = scan{turn: 0.8, blur: 1.5, ink: 40, paper: 240, shade: 0.3, grain: 5, levels: 256, quality: 60, seed: 1}

// ruled is white paper with one black line across it, half way down.
func ruled() *image.RGBA {
	paper := image.NewRGBA(image.Rect(0, 0, 800, 400))
	draw.Draw(paper, paper.Bounds(), image.White, image.Point{}, draw.Src)
	draw.Draw(paper, image.Rect(0, 196, 800, 204), image.Black, image.Point{}, draw.Src)
	return paper
}

func TestTheSameSeedGivesTheSameBytesInEveryFormat(t *testing.T) {
	dir := t.TempDir()
	runs := [2]scanned{sample.degrade(ruled()), sample.degrade(ruled())}
	for _, ext := range []string{".jpg", ".png", ".gif", ".tif"} {
		var files [2][]byte
		for i, run := range runs {
			file := filepath.Join(dir, "page"+ext)
			if err := encode(file, run); err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			files[i] = data
		}
		if !bytes.Equal(files[0], files[1]) {
			t.Errorf("%s: two runs differ", ext)
		}
		page, _, err := image.Decode(bytes.NewReader(files[0]))
		if err != nil {
			t.Errorf("%s: %v", ext, err)
		} else if got, want := page.Bounds().Size(), image.Pt(800/oversample, 400/oversample); got != want {
			t.Errorf("%s: %v pixels, want %v", ext, got, want)
		}
	}
}

func TestAnotherSeedGivesOtherNoise(t *testing.T) {
	other := sample
	other.seed++
	if bytes.Equal(sample.degrade(ruled()).Pix, other.degrade(ruled()).Pix) {
		t.Error("the seed changes nothing")
	}
}

func TestAnUnknownFormatIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.doc")
	if err := encode(file, scanned{Gray: image.NewGray(image.Rect(0, 0, 1, 1))}); err == nil {
		t.Error("no error")
	}
}

// lineAt is the centre of the dark line in column x.
func lineAt(page *image.Gray, x int) float64 {
	var sum, weight float64
	for y := range page.Bounds().Dy() {
		dark := 255 - float64(page.GrayAt(x, y).Y)
		sum += dark * float64(y)
		weight += dark
	}
	return sum / weight
}

func TestPositiveTurnsAreClockwiseByThatManyDegrees(t *testing.T) {
	for _, turn := range []float64{-1, -0.3, 0, 0.3, 1} {
		page := scan{turn: turn, paper: 255, levels: 256}.degrade(ruled()).Gray
		rise := lineAt(page, 350) - lineAt(page, 50)
		if got := math.Atan2(rise, 300) * 180 / math.Pi; math.Abs(got-turn) > 0.02 {
			t.Errorf("turned by %.3f degrees, want %v", got, turn)
		}
	}
}

func TestEachDegradingIsSeenInThePixels(t *testing.T) {
	clean := scan{paper: 255, levels: 256}
	middle := func(s scan) *image.Gray { return s.degrade(ruled()).Gray }

	soft := clean
	soft.blur = 3
	if got, sharp := middle(soft).GrayAt(200, 97).Y, middle(clean).GrayAt(200, 97).Y; got >= sharp {
		t.Errorf("blur: beside the line %d, without blur %d", got, sharp)
	}
	faded := clean
	faded.ink, faded.paper = 60, 230
	if ink, paper := middle(faded).GrayAt(200, 100).Y, middle(faded).GrayAt(200, 20).Y; ink != 60 || paper < 228 || paper > 230 {
		t.Errorf("ink %d, paper %d; want 60 and about 230", ink, paper)
	}
	shaded := clean
	shaded.shade = 0.3
	if dark, light := middle(shaded).GrayAt(2, 197).Y, middle(shaded).GrayAt(397, 2).Y; float64(dark) > 0.75*float64(light) {
		t.Errorf("shade: bottom left %d, top right %d", dark, light)
	}
	grainy := clean
	grainy.paper, grainy.grain = 128, 10
	if got := deviation(middle(grainy), image.Rect(0, 0, 400, 80)); got < 9 || got > 11 {
		t.Errorf("grain: standard deviation %.1f, want about 10", got)
	}
}

func deviation(page *image.Gray, area image.Rectangle) float64 {
	var sum, squares, n float64
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			v := float64(page.GrayAt(x, y).Y)
			sum, squares, n = sum+v, squares+v*v, n+1
		}
	}
	return math.Sqrt(squares/n - sum/n*sum/n)
}

func TestOnlyTheWantedGreyLevelsAreKept(t *testing.T) {
	for _, levels := range []int{2, 8, 16, 256} {
		s := sample
		s.levels, s.grain, s.blur = levels, 60, 0
		page := s.degrade(ruled())
		seen := map[uint8]bool{}
		for _, v := range page.Pix {
			seen[v] = true
		}
		if len(seen) > levels || len(seen) < levels*3/4 {
			t.Errorf("%d levels: %d seen", levels, len(seen))
		}
		small := page.paletted()
		for y := range 200 {
			for x := range 400 {
				if got := color.GrayModel.Convert(small.At(x, y)).(color.Gray); got != page.GrayAt(x, y) {
					t.Fatalf("%d levels: the palette turns %v into %v", levels, page.GrayAt(x, y), got)
				}
			}
		}
	}
}

func TestCommittedTruthsAreTheSourcesColumnAfterColumn(t *testing.T) {
	for _, p := range pages {
		columns, err := p.text()
		if err != nil {
			t.Error(err)
			continue
		}
		truth, err := os.ReadFile(filepath.Join("..", "pages", p.name()+".txt"))
		if err != nil {
			t.Error(err)
		} else if string(truth) != strings.Join(columns, "\n\n")+"\n" {
			t.Errorf("%s: true text and source differ: run go generate in test/samples", p.file)
		}
	}
}

func TestAPageWithoutSourceSaysWhichFileToWrite(t *testing.T) {
	_, err := page{file: "none.jpg"}.text()
	if err == nil || !strings.Contains(err.Error(), "text/none.txt") {
		t.Errorf("error %v", err)
	}
}
