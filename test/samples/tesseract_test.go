package samples_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gvpocr/worker/test/samples"
)

// The names Tesseract has for our languages, and the error rates at which a page is no
// longer a fair sample: above them an end-to-end test could not tell a fault of the worker
// from a page that is hard to read.
var tesseract = map[string]struct {
	model     string
	highest   float64
	toInstall string
}{
	"en": {"eng", 0.02, "tesseract-ocr"},
	"hi": {"hin", 0.05, "tesseract-ocr-hin"},
}

func TestTesseractReadsEveryPage(t *testing.T) {
	if _, err := exec.LookPath("tesseract"); err != nil {
		t.Skip("tesseract is not installed (Debian: apt-get install tesseract-ocr tesseract-ocr-hin)")
	}
	models, err := exec.CommandContext(t.Context(), "tesseract", "--list-langs").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range pageNames(t) {
		t.Run(name, func(t *testing.T) {
			language := tesseract[samples.Languages(samples.Pages(), name)[0]]
			if !slices.Contains(strings.Fields(string(models)), language.model) {
				t.Skipf("tesseract has no model %s (Debian: apt-get install %s)", language.model, language.toInstall)
			}
			t.Parallel()
			truth, err := samples.Truth(samples.Pages(), name)
			if err != nil {
				t.Fatal(err)
			}
			rate := samples.ErrorRate(truth, recognize(t, name, language.model))
			t.Logf("%.2f %% wrong", 100*rate)
			if rate > language.highest {
				t.Errorf("%.2f %% of the characters are wrong, more than %.0f %%", 100*rate, 100*language.highest)
			}
		})
	}
}

func recognize(t *testing.T, name, model string) string {
	t.Helper()
	data, err := fs.ReadFile(samples.Pages(), name)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "tesseract", file, "stdout", "-l", model, "--psm", "3", "txt")
	// Tesseract's threads get in each other's way: without this a page takes six times as long.
	cmd.Env = append(os.Environ(), "OMP_THREAD_LIMIT=1")
	var complaints strings.Builder
	cmd.Stderr = &complaints
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("tesseract %s: %v: %s", name, err, complaints.String())
	}
	return string(text)
}
