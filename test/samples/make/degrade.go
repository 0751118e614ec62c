package main

import (
	"image"
	"image/color"
	"math"
	"math/rand/v2"

	"github.com/anthonynsimon/bild/blur"
	"golang.org/x/image/draw"
	"golang.org/x/image/math/f64"
)

// scan is what a scanner does to a page. The noise comes from seed alone, so the same
// page gives the same pixels.
type scan struct {
	turn    float64 // degrees, clockwise
	blur    float64 // radius for blur.Gaussian in rendered pixels; whole or half, since others shift the page
	ink     float64 // grey level of the darkest ink, 0 to 255
	paper   float64 // grey level of the lightest paper
	shade   float64 // share of light lost in the darkest corner
	grain   float64 // standard deviation of the noise, grey levels
	levels  int     // grey levels kept, at least 2; 2 is black and white
	quality int     // of JPEG, 1 to 100; unused in other formats
	seed    uint64
}

// scanned is a degraded page with what its encoder needs to know.
type scanned struct {
	*image.Gray
	levels  int
	quality int
}

// degrade blurs and turns the rendered page, makes pixels oversample times coarser
// of it, and then adds uneven light and noise.
func (s scan) degrade(page *image.RGBA) scanned {
	soft := s.sample(blur.Gaussian(page, s.blur))
	bounds := soft.Bounds()
	w, h := float64(bounds.Dx()), float64(bounds.Dy())
	grain := rand.New(rand.NewPCG(s.seed, 0))

	out := image.NewGray(bounds)
	for y := range bounds.Dy() {
		for x := range bounds.Dx() {
			white := float64(soft.Pix[soft.PixOffset(x, y)]) / 255
			grey := s.ink + (s.paper-s.ink)*white
			grey *= 1 - s.shade*darkness(float64(x)/w, float64(y)/h)
			grey += s.grain * grain.NormFloat64()
			out.SetGray(x, y, color.Gray{Y: s.quantize(grey)})
		}
	}
	return scanned{Gray: out, levels: s.levels, quality: s.quality}
}

// sample turns the page about its centre and scales it down; what the turn uncovers
// is white.
func (s scan) sample(page *image.RGBA) *image.RGBA {
	small := image.NewRGBA(image.Rect(0, 0, page.Bounds().Dx()/oversample, page.Bounds().Dy()/oversample))
	draw.Draw(small, small.Bounds(), image.White, image.Point{}, draw.Src)

	sin, cos := math.Sincos(s.turn * math.Pi / 180)
	sin, cos = sin/oversample, cos/oversample
	cx, cy := float64(page.Bounds().Dx())/2, float64(page.Bounds().Dy())/2
	// transform.Rotate of bild leaves turns below half a degree out.
	draw.CatmullRom.Transform(small, f64.Aff3{
		cos, -sin, cx/oversample - cos*cx + sin*cy,
		sin, cos, cy/oversample - sin*cx - cos*cy,
	}, page, page.Bounds(), draw.Src, nil)
	return small
}

// darkness is how far from the light a place of the page is, 0 to 1: most in the gutter
// at the left edge, where a bound book lifts off the glass, and slowly more to the bottom.
// x and y are shares of width and height.
func darkness(x, y float64) float64 {
	return 0.7*math.Pow(1-x, 4) + 0.3*y
}

func (s scan) quantize(grey float64) uint8 {
	steps := float64(s.levels - 1)
	level := math.Round(min(max(grey, 0), 255) / 255 * steps)
	return uint8(math.Round(level * 255 / steps))
}
