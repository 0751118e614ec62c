package main

import "embed"

// sources are the true texts. NAME.txt is a page of one column; NAME.1.txt, NAME.2.txt …
// are a page's columns from left to right.
//
//go:embed text/*.txt
var sources embed.FS

// page says how one text looks on paper and what the scanner made of it.
type page struct {
	file     string // name and format of the image; the text has the same name
	font     string // family, which must be installed
	points   float64
	language string // for Pango's choice of font and line breaks
	heading  bool   // the first line is set large and bold
	justify  bool
	width    float64 // of the paper, millimetres
	height   float64
	dpi      int
	scan     scan
}

// The A formats in millimetres.
const (
	a4Width, a4Height = 210, 297
	a5Width, a5Height = 148, 210
	a6Width, a6Height = 105, 148
)

var pages = []page{
	{
		file: "letter.jpg", font: "Liberation Serif", points: 11, language: "en",
		width: a5Width, height: a5Height, dpi: 170,
		scan: scan{turn: 0.6, blur: 2, ink: 45, paper: 240, shade: 0.2, grain: 4, levels: 256, quality: 60, seed: 1},
	},
	{
		file: "newsletter.jpg", font: "DejaVu Serif", points: 9, language: "en", heading: true, justify: true,
		width: a5Width, height: a5Height, dpi: 170,
		scan: scan{turn: -0.8, blur: 2, ink: 60, paper: 235, shade: 0.25, grain: 4, levels: 256, quality: 60, seed: 2},
	},
	{
		file: "accounts.png", font: "Liberation Sans", points: 10.5, language: "en", heading: true,
		width: a5Width, height: a5Height, dpi: 150,
		scan: scan{turn: 0.4, blur: 1.5, ink: 40, paper: 252, shade: 0.15, grain: 1.5, levels: 16, seed: 3},
	},
	{
		file: "story.jpg", font: "Noto Serif", points: 10.5, language: "en", heading: true, justify: true,
		width: a4Width, height: a4Height, dpi: 150,
		scan: scan{turn: -0.5, blur: 1.5, ink: 50, paper: 240, shade: 0.25, grain: 2.5, levels: 256, quality: 40, seed: 4},
	},
	{
		file: "columns.png", font: "Liberation Serif", points: 12, language: "en", heading: true, justify: true,
		width: a4Width, height: a4Height, dpi: 150,
		scan: scan{turn: 0.7, blur: 1.5, ink: 20, paper: 240, shade: 0.2, grain: 12, levels: 2, seed: 5},
	},
	{
		file: "memo.tif", font: "Liberation Mono", points: 9, language: "en",
		width: a5Width, height: a5Height, dpi: 200,
		scan: scan{turn: -0.3, blur: 2.5, ink: 60, paper: 240, shade: 0.3, grain: 14, levels: 2, seed: 6},
	},
	{
		file: "notice.gif", font: "DejaVu Sans", points: 11, language: "en", heading: true,
		width: a6Width, height: a6Height, dpi: 150,
		scan: scan{turn: 1, blur: 1.5, ink: 50, paper: 250, shade: 0.15, grain: 3, levels: 8, seed: 7},
	},
	{
		file: "hindi-letter.jpg", font: "Noto Serif Devanagari", points: 11, language: "hi",
		width: a5Width, height: a5Height, dpi: 170,
		scan: scan{turn: 0.5, blur: 1.5, ink: 45, paper: 240, shade: 0.2, grain: 4, levels: 256, quality: 60, seed: 8},
	},
	{
		file: "hindi-library.png", font: "Lohit Devanagari", points: 12, language: "hi", heading: true,
		width: a5Width, height: a5Height, dpi: 150,
		scan: scan{turn: -0.4, blur: 1.5, ink: 40, paper: 252, shade: 0.15, grain: 1.5, levels: 16, seed: 9},
	},
}
