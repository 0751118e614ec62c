// Package environ reads configuration from environment variables with caarlos0/env, and names in its errors the
// variables, which are what an operator set, and not the Go fields.
package environ

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/caarlos0/env/v11"
)

// Parse fills the struct that dst points to, whose fields carry env tags, from environ, which is in the form of
// os.Environ. A variable that is set but empty counts as not set: compose files pass on empty ones. The error joins
// every bad variable, and shows no value, since any may be a secret.
func Parse(dst any, environ []string) error {
	vars := map[string]string{}
	for _, line := range environ {
		if name, value, _ := strings.Cut(line, "="); value != "" {
			vars[name] = value
		}
	}
	err := env.ParseWithOptions(dst, env.Options{Environment: vars})
	if err == nil {
		return nil
	}
	all, ok := errors.AsType[env.AggregateError](err)
	if !ok {
		return err
	}
	fields := reflect.TypeOf(dst).Elem()
	var errs []error
	for _, err := range all.Errors {
		parse, ok := errors.AsType[env.ParseError](err)
		if !ok {
			errs = append(errs, err)
			continue
		}
		name := parse.Name
		if field, ok := fields.FieldByName(name); ok {
			name, _, _ = strings.Cut(field.Tag.Get("env"), ",")
		}
		errs = append(errs, fmt.Errorf("%s: not %s", name, describe(parse.Type)))
	}
	return errors.Join(errs...)
}

func describe(t reflect.Type) string {
	switch {
	case t.String() == "time.Duration":
		return "a duration like 500ms, 15s or 2m"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64:
		return "a whole number"
	}
	return "a " + t.String()
}
