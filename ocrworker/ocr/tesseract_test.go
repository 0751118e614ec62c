package ocr_test

import (
	"cmp"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gvpocr/worker/ocrworker/ocr"
)

var _ ocr.Engine = (*ocr.Tesseract)(nil)

// realTesseract is the installed tesseract, and the folder where it keeps temporary files.
func realTesseract(t *testing.T) (engine *ocr.Tesseract, tempDir string) {
	t.Helper()
	if _, err := exec.LookPath("tesseract"); err != nil {
		if os.Getenv("REQUIRE_TESSERACT") == "1" {
			t.Fatal("tesseract is not installed and REQUIRE_TESSERACT=1")
		}
		t.Skip("tesseract is not installed (on Debian: apt-get install tesseract-ocr)")
	}
	tempDir = t.TempDir()
	engine, err := ocr.NewTesseract(ocr.TesseractConfig{TempDir: tempDir})
	if err != nil {
		t.Fatal(err)
	}
	return engine, tempDir
}

func wantEmptyDir(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left in the temporary folder: %v, %v", left, err)
	}
}

func TestTesseractReadsEveryFormat(t *testing.T) {
	engine, tempDir := realTesseract(t)
	img := render(t, "Hello stored result 123")
	for format := range encoders {
		t.Run(format, func(t *testing.T) {
			r, err := engine.Recognize(t.Context(), ocr.Page{Number: 1, Image: encode(t, format, img), DPI: renderDPI})
			if err != nil {
				t.Fatal(err)
			}
			if r.Text != "Hello stored result 123" || r.Blocks != 1 || r.Words != 4 || r.Confidence < 0.5 || r.Confidence > 1 {
				t.Errorf("%+v", r)
			}
		})
	}
	wantEmptyDir(t, tempDir)
}

func TestTesseractCountsBlocksAndKeepsQuotationMarks(t *testing.T) {
	engine, _ := realTesseract(t)
	img := render(t, `He said "stop" twice`, "Second block")
	r, err := engine.Recognize(t.Context(), ocr.Page{Number: 1, Image: encode(t, "png", img), DPI: renderDPI, Languages: []string{"en", "eng"}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Blocks != 2 || r.Words != 6 || !strings.Contains(r.Text, `"stop"`) || !strings.HasSuffix(r.Text, "Second block") {
		t.Errorf("%+v", r)
	}
}

func TestPageWithoutTextIsASuccess(t *testing.T) {
	engine, _ := realTesseract(t)
	for _, handwriting := range []bool{false, true} {
		r, err := engine.Recognize(t.Context(), ocr.Page{Number: 1, Image: encode(t, "png", render(t)), DPI: renderDPI, Handwriting: handwriting})
		if err != nil || r != (ocr.Result{}) {
			t.Errorf("handwriting %v: %+v, %v", handwriting, r, err)
		}
	}
}

// Tesseract takes what it does not know as an image for a list of files and would read them.
func TestBytesThatNameAnotherImageAreNotFollowed(t *testing.T) {
	engine, _ := realTesseract(t)
	secret := filepath.Join(t.TempDir(), "secret.png")
	if err := os.WriteFile(secret, encode(t, "png", render(t, "Secret")), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{secret, secret + "\n", "\n" + secret, "BM" + secret, "II*" + secret, "\ufeff" + secret, ""} {
		r, err := engine.Recognize(t.Context(), ocr.Page{Number: 1, Image: []byte(data)})
		if err == nil || !ocr.IsPermanent(err) {
			t.Errorf("%q: %+v, %v", data, r, err)
		}
	}
}

func TestImageThatTesseractCannotReadIsAPermanentError(t *testing.T) {
	engine, tempDir := realTesseract(t)
	whole := encode(t, "png", render(t, "Hello"))
	for name, data := range map[string][]byte{
		"a PNG that is cut off": whole[:len(whole)/2],
		"a TIFF without pages":  []byte("II*\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
		"only a magic":          []byte("\xff\xd8\xff\xe0........"),
	} {
		r, err := engine.Recognize(t.Context(), ocr.Page{Number: 7, Image: data})
		if !ocr.IsPermanent(err) {
			t.Errorf("%s: %+v, %v", name, r, err)
		} else if !strings.Contains(err.Error(), "page 7") {
			t.Errorf("%s: the error does not name the page: %v", name, err)
		}
	}
	wantEmptyDir(t, tempDir)
}

func TestLanguagesThatAreNotInstalledAreNamed(t *testing.T) {
	engine, _ := realTesseract(t)
	if !slices.Contains(engine.Languages(), "eng") {
		t.Fatalf("languages: %v", engine.Languages())
	}
	image := encode(t, "png", render(t))
	for language, want := range map[string]string{
		"tlh":                   "tesseract-ocr-tlh",
		"chi_xyz":               "tesseract-ocr-chi-xyz",
		"script/Klingon":        "tesseract-ocr-script-",
		"":                      "not a code",
		"eng+hin":               "not a code",
		"--version":             "not a code",
		"../../etc/passwd":      "not a code",
		"script/../eng":         "not a code",
		"script/":               "not a code",
		"eng\x00":               "not a code",
		strings.Repeat("e", 99): "not a code",
	} {
		_, err := engine.Recognize(t.Context(), ocr.Page{Number: 1, Image: image, Languages: []string{"en", language}})
		if !ocr.IsPermanent(err) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "eng, ") || len(err.Error()) > 1000 {
			t.Errorf("%.40q: %v", language, err)
		}
	}
	if _, err := engine.Recognize(t.Context(), ocr.Page{Number: 1, Image: image, Languages: slices.Repeat([]string{"eng"}, 11)}); !ocr.IsPermanent(err) {
		t.Errorf("eleven languages: %v", err)
	}
}

func TestTesseractDoesNotReadTheTextOfAnEarlierStep(t *testing.T) {
	engine, _ := realTesseract(t)
	_, err := engine.Recognize(t.Context(), ocr.Page{Number: 1, Text: "recognized before", Prompt: "Translate"})
	if !ocr.IsPermanent(err) || !strings.Contains(err.Error(), "images only") {
		t.Error(err)
	}
}

func TestPagesAreReadAtTheSameTime(t *testing.T) {
	engine, tempDir := realTesseract(t)
	var all sync.WaitGroup
	for _, text := range []string{"First page", "Second page", "Third page", "Fourth page"} {
		image := encode(t, "png", render(t, text))
		all.Go(func() {
			r, err := engine.Recognize(t.Context(), ocr.Page{Number: 1, Image: image, DPI: renderDPI})
			if err != nil || r.Text != text {
				t.Errorf("%s: %+v, %v", text, r, err)
			}
		})
	}
	all.Wait()
	wantEmptyDir(t, tempDir)
}

func TestEndedContextIsTheErrorOfARecognition(t *testing.T) {
	engine, tempDir := realTesseract(t)
	why := errors.New("the job was cancelled")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	_, err := engine.Recognize(ctx, ocr.Page{Number: 1, Image: encode(t, "png", render(t))})
	if !errors.Is(err, why) || ocr.IsPermanent(err) {
		t.Error(err)
	}
	wantEmptyDir(t, tempDir)
}

func TestNewTesseractSaysWhatToInstallOrSet(t *testing.T) {
	for name, test := range map[string]struct {
		cfg  ocr.TesseractConfig
		want string
	}{
		"no command":          {ocr.TesseractConfig{Cmd: "no-such-tesseract"}, "apt-get install tesseract-ocr"},
		"no path":             {ocr.TesseractConfig{Cmd: "/nowhere/tesseract"}, "TESSERACT_CMD"},
		"negative processes":  {ocr.TesseractConfig{Processes: -1}, "Processes"},
		"no temporary folder": {ocr.TesseractConfig{Cmd: cmp.Or(os.Getenv("SHELL"), "sh"), TempDir: "/nowhere"}, "temporary folder"},
	} {
		if _, err := ocr.NewTesseract(test.cfg); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
