package migrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/sirupsen/logrus"
	"go.yaml.in/yaml/v3"
)

// source is where a compose file lies, and what its variables hold.
type source struct {
	name string
	env  types.Mapping
}

// load loads a compose file as compose does, with everything checked.
func (s source) load(ctx context.Context, text []byte) (*types.Project, error) {
	logrus.SetOutput(io.Discard) // the loader warns of variables that are not set, which the caller says by itself
	project, err := loader.LoadWithContext(ctx, types.ConfigDetails{
		WorkingDir:  filepath.Dir(s.name),
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Base(s.name), Content: text}},
		Environment: maps.Clone(s.env), // the loader writes into it
	}, func(options *loader.Options) {
		options.SetProjectName(cmp.Or(loader.NormalizeProjectName(s.env["COMPOSE_PROJECT_NAME"]), "migrate"), true)
		options.SkipInclude = true
		options.Interpolate.Substitute = substitute
		options.Profiles = []string{"*"}
	})
	if err != nil {
		err = fmt.Errorf("compose can't load it: %w", err)
		if names := s.unset(text); len(names) > 0 {
			err = fmt.Errorf("%w; it has variables that are %s", err, notSet(names))
		}
		return nil, err
	}
	if len(project.Services) == 0 {
		return nil, errors.New("it has no services")
	}
	return project, nil
}

// unset returns the variables of a file that are not set and have no default.
func (s source) unset(text []byte) []string {
	var content map[string]any
	if yaml.Unmarshal(text, &content) != nil {
		return nil
	}
	return unset(content, s.env)
}

func notSet(names []string) string {
	return fmt.Sprintf("not set here, nor in the file .env beside it: %s", strings.Join(names, ", "))
}
