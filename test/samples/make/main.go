// Command make writes the sample pages and their true texts.
//
// The texts are in the folder text. pango-view lays them out, because Devanagari needs
// the shaping of HarfBuzz; the degrading is done here, from fixed seeds, so that the same
// texts, fonts and Pango give the same bytes on the same processor architecture.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
)

func main() {
	out := flag.String("o", "pages", "folder that the pages and their true texts are written to")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *out); err != nil {
		fmt.Fprintln(os.Stderr, "make:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out string) error {
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: the only setting is -o FOLDER", flag.Arg(0))
	}
	if err := checkTools(ctx, pages); err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for _, p := range pages {
		if err := p.write(ctx, out); err != nil {
			return fmt.Errorf("page %s: %w", p.file, err)
		}
	}
	return nil
}

func (p page) write(ctx context.Context, out string) error {
	columns, err := p.text()
	if err != nil {
		return err
	}
	clean, err := p.render(ctx, columns)
	if err != nil {
		return err
	}
	file := filepath.Join(out, p.file)
	if err := encode(file, p.scan.degrade(clean)); err != nil {
		return err
	}
	truth := strings.Join(columns, "\n\n") + "\n"
	return os.WriteFile(filepath.Join(out, p.name()+".txt"), []byte(truth), 0o644)
}

// name is the file's name without its extension.
func (p page) name() string {
	return strings.TrimSuffix(p.file, filepath.Ext(p.file))
}

// text returns the page's columns, left to right.
func (p page) text() ([]string, error) {
	if text, err := sources.ReadFile("text/" + p.name() + ".txt"); err == nil {
		return []string{strings.TrimSpace(string(text))}, nil
	}
	var columns []string
	for n := 1; ; n++ {
		text, err := sources.ReadFile(fmt.Sprintf("text/%s.%d.txt", p.name(), n))
		if errors.Is(err, os.ErrNotExist) && n > 1 {
			return columns, nil
		}
		if err != nil {
			return nil, fmt.Errorf("no text/%s.txt and no text/%[1]s.1.txt: write one of them: %w", p.name(), err)
		}
		columns = append(columns, strings.TrimSpace(string(text)))
	}
}
