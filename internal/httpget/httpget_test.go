package httpget_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/gvpocr/worker/internal/httpget"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T, f http.HandlerFunc) (client *http.Client, address string) {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return httpget.Client((&net.Dialer{}).DialContext), server.URL
}

func TestAnAnswerIsReadUpToItsBound(t *testing.T) {
	client, address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write([]byte(strings.TrimPrefix(r.URL.Path, "/")))
	})
	got, err := httpget.Get(t.Context(), client, address+"/four", 4)
	if err != nil || got.Status != http.StatusTeapot || string(got.Body) != "four" {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = httpget.Get(t.Context(), client, address+"/fifth", 4)
	if !errors.Is(err, httpget.ErrTooLarge) || got.Status != http.StatusTeapot || string(got.Body) != "fift" {
		t.Errorf("one byte more: %+v, %v", got, err)
	}
}

func TestARedirectIsAnAnswerAndNotFollowed(t *testing.T) {
	client, address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://elsewhere.invalid/", http.StatusFound)
	})
	if got, err := httpget.Get(t.Context(), client, address, 1<<10); err != nil || got.Status != http.StatusFound {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAHeaderWithoutEndIsCutOff(t *testing.T) {
	client, address := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Long", strings.Repeat("x", 1<<20)) })
	if got, err := httpget.Get(t.Context(), client, address, 1<<10); err == nil {
		t.Errorf("%d", got.Status)
	}
}

func TestAnErrorDoesNotRepeatTheURL(t *testing.T) {
	client, address := serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	if _, err := httpget.Get(t.Context(), client, address+"/secret", 1<<10); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}
