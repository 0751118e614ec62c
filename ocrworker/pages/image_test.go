package pages

import (
	"errors"
	"image"
	"io"
	"testing"
)

func TestDecoderThatPanicsIsAnErrorOfTheImage(t *testing.T) {
	broken := codec{decode: func(io.Reader) (image.Image, error) { panic("index out of range") }}
	if _, err := decode(nil, broken); !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
}
