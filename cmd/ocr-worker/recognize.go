package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gvpocr/worker/ocrworker"
	"github.com/gvpocr/worker/ocrworker/ocr"
	"github.com/gvpocr/worker/ocrworker/pages"
)

// recognizeOptions are how files are recognized.
type recognizeOptions struct {
	provider    string
	languages   []string
	handwriting bool
	json        bool
}

// recognized is what was read of one file. Its fields are the JSON output.
type recognized struct {
	File       string           `json:"file"`
	Provider   string           `json:"provider"`
	Languages  []string         `json:"languages"`
	Words      int              `json:"words"`
	Confidence float64          `json:"confidence"` // mean of the pages that were read, 0..1
	Seconds    float64          `json:"seconds"`
	Pages      []recognizedPage `json:"pages"`
	Error      string           `json:"error,omitempty"` // of the file; a page's own is with the page
}

type recognizedPage struct {
	Page       int     `json:"page"`
	Text       string  `json:"text"`
	Words      int     `json:"words"`
	Confidence float64 `json:"confidence"`
	Seconds    float64 `json:"seconds"`
	Error      string  `json:"error,omitempty"`
}

// recognizeCommand recognizes files without queue and MongoDB.
func recognizeCommand() *cobra.Command {
	var o recognizeOptions
	cmd := &cobra.Command{
		Use:   "recognize FILE...",
		Short: "Recognize files here, without queue and MongoDB",
		Long: `recognize reads page images as the worker does, with the same limits and engines, and prints their text, and then for each
file its words, confidence and time. Nothing is stored: it is to compare settings. The text goes to standard output, the figures
to standard error.`,
		Example: `  ocr-worker recognize page.png
  ocr-worker recognize --languages hi,en --json page1.jpg page2.tif | jq .confidence`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return recognize(cmd.Context(), args, o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&o.provider, "provider", "", "engine (default: DEFAULT_OCR_PROVIDER, or the one that is on)")
	cmd.Flags().StringSliceVar(&o.languages, "languages", nil, "`codes` like those of a task: en,hi (default: the engine's)")
	cmd.Flags().BoolVar(&o.handwriting, "handwriting", false, "take each page for one block of handwriting")
	cmd.Flags().BoolVar(&o.json, "json", false, "print one JSON object per file")
	return cmd
}

func recognize(ctx context.Context, names []string, o recognizeOptions, out, figures io.Writer) error {
	cfg, err := config(os.Environ())
	if err != nil {
		return err
	}
	defer cfg.Dialer.Close()
	var engine ocr.Engine
	if o.provider, engine, err = chooseEngine(cfg, o.provider); err != nil {
		return err
	}
	limit := cmp.Or(cfg.FileTimeout, 14*time.Minute) // the worker's default
	bad := 0
	for _, name := range names {
		fileCtx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done within %v", limit))
		r := recognizeFile(fileCtx, name, o, engine, cfg.Limits)
		cancel()
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		if r.failed() {
			bad++
		}
		if o.json {
			err = json.NewEncoder(out).Encode(r)
		} else {
			err = r.print(out, len(names) > 1)
		}
		if err != nil {
			return err
		}
		if !o.json {
			r.printFigures(figures)
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %s could not be read", bad, files(len(names)))
	}
	return nil
}

func chooseEngine(cfg ocrworker.Config, provider string) (string, ocr.Engine, error) {
	names := slices.Sorted(maps.Keys(cfg.Engines))
	if len(names) == 0 {
		return "", nil, errors.New("no provider is on; set TESSERACT_ENABLED=true")
	}
	if provider == "" {
		provider = names[0]
		if _, ok := cfg.Engines[cfg.DefaultEngine]; ok {
			provider = cfg.DefaultEngine
		}
	}
	engine, ok := cfg.Engines[provider]
	if !ok {
		return "", nil, fmt.Errorf("provider %q is not on; this environment has %s", provider, strings.Join(names, ", "))
	}
	return provider, engine, nil
}

func recognizeFile(ctx context.Context, name string, o recognizeOptions, engine ocr.Engine, limits pages.Limits) (r recognized) {
	r = recognized{File: name, Provider: o.provider, Languages: o.languages, Pages: []recognizedPage{}}
	begin := time.Now()
	defer func() { r.Seconds = seconds(begin) }()
	document, err := readDocument(ctx, name, limits)
	if err != nil {
		r.Error = err.Error()
		return r
	}
	read := 0
	for page, err := range document.Pages() {
		p := recognizedPage{Page: page.Number}
		start := time.Now()
		var result ocr.Result
		if err == nil {
			result, err = engine.Recognize(ctx, ocr.Page{
				Number: page.Number, Image: page.Data, DPI: page.DPI, Languages: o.languages, Handwriting: o.handwriting,
			})
		}
		p.Seconds = seconds(start)
		if err != nil {
			p.Error = err.Error()
		} else {
			p.Text, p.Words, p.Confidence = result.Text, result.Words, result.Confidence
			r.Words += p.Words
			r.Confidence += p.Confidence
			read++
		}
		r.Pages = append(r.Pages, p)
		if ctx.Err() != nil {
			break
		}
	}
	if read > 0 {
		r.Confidence /= float64(read)
	}
	return r
}

// readDocument reads a file until ctx ends: a pipe that nobody writes to, or a share whose server is gone, may never answer.
func readDocument(ctx context.Context, name string, limits pages.Limits) (*pages.File, error) {
	var document *pages.File
	var err error
	read := make(chan struct{})
	go func() { // it ends with the process, if the file never answers
		defer close(read)
		document, err = readWhole(name, limits)
	}()
	select {
	case <-read:
		return document, err
	case <-ctx.Done():
		return nil, fmt.Errorf("read %s: %w", name, context.Cause(ctx))
	}
}

func readWhole(name string, limits pages.Limits) (*pages.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if fi, err := f.Stat(); err == nil && fi.IsDir() {
		return nil, fmt.Errorf("%s is a folder; ocr-worker submit takes folders", name)
	}
	return pages.Read(f, filepath.Base(name), limits)
}

func seconds(since time.Time) float64 {
	return float64(time.Since(since).Round(time.Millisecond)) / float64(time.Second)
}

// failed reports whether the file or one of its pages could not be read.
func (r recognized) failed() bool {
	return r.Error != "" || slices.ContainsFunc(r.Pages, func(p recognizedPage) bool { return p.Error != "" })
}

func (r recognized) print(out io.Writer, named bool) error {
	var b strings.Builder
	if named && r.Error == "" {
		fmt.Fprintf(&b, "=== %s ===\n", r.File)
	}
	for _, p := range r.Pages {
		if len(r.Pages) > 1 {
			fmt.Fprintf(&b, "--- Page %d ---\n", p.Page)
		}
		if p.Text != "" {
			b.WriteString(p.Text + "\n")
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func (r recognized) printFigures(out io.Writer) {
	if r.Error != "" {
		fmt.Fprintf(out, "%s: %s\n", r.File, r.Error)
		return
	}
	fmt.Fprintf(out, "%s: %s, pages %d, words %d, confidence %.2f, %.2f s\n", r.File, r.Provider, len(r.Pages), r.Words, r.Confidence, r.Seconds)
	for _, p := range r.Pages {
		switch {
		case p.Error != "":
			fmt.Fprintf(out, "  page %d: %s\n", p.Page, p.Error)
		case len(r.Pages) > 1:
			fmt.Fprintf(out, "  page %d: words %d, confidence %.2f, %.2f s\n", p.Page, p.Words, p.Confidence, p.Seconds)
		}
	}
}
