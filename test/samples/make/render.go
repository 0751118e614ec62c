package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"image"
	"image/draw"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// oversample is how many times finer than the scan a page is rendered, so that blurring
// and turning happen before the pixels of the scan are made, as in a scanner.
const oversample = 2

// Shares of the paper's width.
const (
	margin = 0.09
	gutter = 0.05
)

// checkTools reports what has to be installed before any page can be made.
// A missing font would otherwise be replaced in silence by another one.
func checkTools(ctx context.Context, pages []page) error {
	if _, err := exec.LookPath("pango-view"); err != nil {
		return fmt.Errorf("pango-view is needed to render text (Debian: apt-get install pango1.0-tools): %w", err)
	}
	list, err := exec.CommandContext(ctx, "pango-list").Output()
	if err != nil {
		return fmt.Errorf("list fonts with pango-list (Debian: apt-get install pango1.0-tools): %w", err)
	}
	installed := make(map[string]bool)
	for line := range strings.Lines(string(list)) {
		// Faces of a family are indented below it; " (monospace)" follows where it applies.
		if !strings.HasPrefix(line, " ") {
			family, _, _ := strings.Cut(line, "(")
			installed[strings.TrimSpace(family)] = true
		}
	}
	var missing []error
	for _, p := range pages {
		if !installed[p.font] {
			missing = append(missing, fmt.Errorf("page %s: font %q is not installed (Debian: apt-get install "+
				"fonts-liberation fonts-dejavu-core fonts-noto-core fonts-lohit-deva)", p.file, p.font))
		}
	}
	return errors.Join(missing...)
}

// render lays the columns out side by side on white paper, oversample times finer than
// the scan's resolution.
func (p page) render(ctx context.Context, columns []string) (*image.RGBA, error) {
	perMM := float64(p.dpi*oversample) / 25.4
	paper := image.NewRGBA(image.Rect(0, 0, int(p.width*perMM), int(p.height*perMM)))
	draw.Draw(paper, paper.Bounds(), image.White, image.Point{}, draw.Src)

	n := float64(len(columns))
	edge, gap := p.width*margin, p.width*gutter
	columnWidth := (p.width - 2*edge - (n-1)*gap) / n
	for i, text := range columns {
		column, err := p.layOut(ctx, text, columnWidth, p.heading && i == 0)
		if err != nil {
			return nil, err
		}
		left := edge + float64(i)*(columnWidth+gap)
		at := column.Bounds().Sub(column.Bounds().Min).Add(image.Pt(int(left*perMM), int(edge*perMM)))
		if !at.In(paper.Bounds().Inset(int(edge * perMM / 2))) {
			return nil, fmt.Errorf("column %d needs %d x %d pixels and runs off the paper of %d x %d: shorten the text or choose a smaller font",
				i+1, at.Dx(), at.Dy(), paper.Rect.Dx(), paper.Rect.Dy())
		}
		draw.Draw(paper, at, column, column.Bounds().Min, draw.Src)
	}
	return paper, nil
}

// layOut has Pango set one column, width millimetres wide.
func (p page) layOut(ctx context.Context, text string, width float64, heading bool) (image.Image, error) {
	dir, err := os.MkdirTemp("", "samples")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary folder
	file := filepath.Join(dir, "column.png")

	markup := html.EscapeString(text)
	if heading {
		title, rest, _ := strings.Cut(markup, "\n")
		markup = `<span size="125%" weight="bold">` + title + "</span>\n" + rest
	}
	args := []string{
		"--no-display", "--markup", "--output=" + file, "--margin=0",
		"--font=" + p.font + " " + strconv.FormatFloat(p.points, 'f', -1, 64),
		"--language=" + p.language,
		"--dpi=" + strconv.Itoa(p.dpi*oversample),
		"--width=" + strconv.Itoa(int(width/25.4*72)),
		"--line-spacing=1.2", "--hinting=none", "--antialias=gray",
		"--text=" + markup,
	}
	if p.justify {
		args = append(args, "--justify")
	}
	if out, err := exec.CommandContext(ctx, "pango-view", args...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("pango-view: %w: %s", err, bytes.TrimSpace(out))
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	column, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("decode what pango-view wrote: %w", err)
	}
	return column, nil
}
