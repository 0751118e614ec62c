package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/compose-spec/compose-go/v2/interpolation"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/sirupsen/logrus"
)

// required finds the variables without which compose refuses to load a file. A migration can do without them.
var required = regexp.MustCompile(`\$\{(\w+):?\?`)

// load loads a compose file as compose does, with everything checked.
func load(ctx context.Context, dir string, text []byte, o Options) (*types.Project, error) {
	logrus.SetOutput(io.Discard) // the loader warns of variables that are not set, which is no concern here
	needed := map[string]bool{}
	for _, match := range required.FindAllSubmatch(text, -1) {
		needed[string(match[1])] = true
	}
	lookUp := func(name string) (string, bool) {
		if o.LookupEnv != nil {
			if value, ok := o.LookupEnv(name); ok {
				return value, true
			}
		}
		return "required-" + name, needed[name]
	}
	project, err := loader.LoadWithContext(ctx, types.ConfigDetails{
		WorkingDir:  dir,
		ConfigFiles: []types.ConfigFile{{Filename: "compose.yml", Content: text}},
	}, func(options *loader.Options) {
		options.SetProjectName("migrate", true)
		options.SkipInclude = true
		options.Interpolate = &interpolation.Options{LookupValue: lookUp}
		options.Profiles = []string{"*"}
	})
	if err != nil {
		return nil, fmt.Errorf("compose can't load it: %w", err)
	}
	if len(project.Services) == 0 {
		return nil, errors.New("it has no services")
	}
	return project, nil
}
