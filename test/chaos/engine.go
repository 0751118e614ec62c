package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"image"
	"image/png"
	"os"
	"sync"
	"time"

	"github.com/gvpocr/worker/ocrworker/ocr"
)

// provider is the name under which workers have the stand-in.
const provider = "tesseract"

// engineConfig says how long the stand-in takes, and where it keeps its record.
type engineConfig struct {
	Seed     uint64
	Min, Max time.Duration // of a page; which it is depends on Seed and the page alone
	Long     time.Duration // of every LongEvery-th page, if that is not 0
	LongNth  int
	Record   string // path
}

// standIn is an engine that takes a known time for a page, and reads what pageImage has drawn. It records what it begins
// and what it has read.
type standIn struct {
	cfg engineConfig

	mu     sync.Mutex // guards record
	record *os.File
}

func newStandIn(config []byte) (*standIn, error) {
	e := &standIn{}
	err := json.Unmarshal(config, &e.cfg)
	if err == nil {
		e.record, err = os.OpenFile(e.cfg.Record, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	}
	return e, err
}

func (e *standIn) close() error { return e.record.Close() }

// Recognize reads a page.
func (e *standIn) Recognize(ctx context.Context, p ocr.Page) (ocr.Result, error) {
	number, err := readPage(p.Image)
	if err != nil {
		return ocr.Result{}, err
	}
	if err := e.note(recognition{Page: number, At: time.Now()}); err != nil {
		return ocr.Result{}, err
	}
	timer := time.NewTimer(e.cfg.takes(number))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ocr.Result{}, context.Cause(ctx)
	}
	if err := e.note(recognition{Page: number, At: time.Now(), Done: true}); err != nil {
		return ocr.Result{}, err
	}
	return ocr.Result{Text: pageText(number), Confidence: 0.9, Blocks: 1, Words: 2}, nil
}

func (c engineConfig) takes(page int) time.Duration {
	if c.LongNth > 0 && page%c.LongNth == 0 {
		return c.Long
	}
	h := fnv.New64a()
	fmt.Fprint(h, c.Seed, page)
	return c.Min + time.Duration(h.Sum64()%uint64(max(c.Max-c.Min, 1)))
}

// recognition is a line of the record.
type recognition struct {
	Page int
	At   time.Time
	Done bool // false at its beginning
}

func (e *standIn) note(r recognition) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	_, err = e.record.Write(append(line, '\n')) // one write, so a killed worker leaves whole lines
	return err
}

// pageText is what is on a page.
func pageText(number int) string { return fmt.Sprintf("page %d", number) }

// pageImage draws a page: its number in the first four pixels.
func pageImage(number int) ([]byte, error) {
	page := image.NewGray(image.Rect(0, 0, 64, 64))
	for i := range 4 {
		page.Pix[i] = byte(number >> (8 * i))
	}
	var b bytes.Buffer
	err := png.Encode(&b, page)
	return b.Bytes(), err
}

func readPage(data []byte) (number int, err error) {
	decoded, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return 0, err
	}
	page, ok := decoded.(*image.Gray)
	if !ok || len(page.Pix) < 4 {
		return 0, errors.New("not a page of this job")
	}
	for i := range 4 {
		number |= int(page.Pix[i]) << (8 * i)
	}
	return number, nil
}
