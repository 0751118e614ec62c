package migrate

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// checkStart refuses workers that would get an image in which what they start is not.
func (m *migration) checkStart() error {
	var errs []error
	for _, fault := range m.startFaults(func(name string) bool { return m.options.Image != "" && !m.built(name) }) {
		errs = append(errs, errors.New(fault))
	}
	return errors.Join(errs...)
}

// startNotes say the same of workers whose image people change by themselves.
func (m *migration) startNotes() []string {
	return m.startFaults(func(name string) bool { return m.options.Image == "" || m.built(name) })
}

// startFaults say what some workers start that is not this worker, those with the same one in one sentence.
func (m *migration) startFaults(which func(name string) bool) []string {
	var faults []string
	workers := map[string][]string{}
	for _, name := range m.workers {
		if !which(name) {
			continue
		}
		for _, fault := range []string{m.entrypointFault(name), m.commandFault(name), m.healthFault(name)} {
			if fault != "" && workers[fault] == nil {
				faults = append(faults, fault)
			}
			workers[fault] = append(workers[fault], name)
		}
	}
	for i, fault := range faults {
		faults[i] = strings.Join(workers[fault], ", ") + ": " + fault
	}
	return faults
}

// startsWorker reports whether a container's words start this worker.
func startsWorker(argv []string) bool {
	return len(argv) > 0 && slices.Contains([]string{"ocr-worker", "/usr/bin/ocr-worker"}, argv[0])
}

func (m *migration) entrypointFault(name string) string {
	entrypoint := m.before.Services[name].Entrypoint
	const remedy = "remove entrypoint, and write the worker's flags, such as --worker-id, into command"
	switch {
	case entrypoint == nil || startsWorker(entrypoint):
		return ""
	case len(entrypoint) == 0:
		return "entrypoint is empty, by which this worker's image would not start it: " + remedy
	}
	return fmt.Sprintf("entrypoint starts %s instead of this worker, whose image has no shell and no Python: %s", path.Base(entrypoint[0]), remedy)
}

// commandFault looks at a command as it is, and where variables are not set as it is written: one that stands for a flag's
// value is taken for one.
func (m *migration) commandFault(name string) string {
	s := m.before.Services[name]
	var flags []string
	if startsWorker(s.Entrypoint) {
		flags = s.Entrypoint[1:]
	}
	err := m.takes(slices.Concat(flags, s.Command))
	if err != nil && len(m.unset) > 0 {
		if from := owner(child(m.document.services, name), "command"); from != nil {
			var written any
			if child(from, "command").Decode(&written) == nil {
				if list, errWords := words(written); errWords == nil && m.takes(slices.Concat(flags, list)) == nil {
					return ""
				}
			}
		}
	}
	if err == nil {
		return ""
	}
	return fmt.Sprintf("command is not this worker's (%v): leave only the worker's flags in it, such as --worker-id and --nsqlookupd, or remove command", err)
}

// takes says what is wrong with a command line of the worker.
func (m *migration) takes(command []string) error {
	if len(command) == 0 {
		return nil
	}
	if m.options.Takes == nil {
		return errors.New("it is not known which flags the worker takes")
	}
	return m.options.Takes(command)
}

func (m *migration) healthFault(name string) string {
	check := m.before.Services[name].HealthCheck
	if check == nil || check.Disable || len(check.Test) == 0 || check.Test[0] == "NONE" {
		return ""
	}
	runs := "a shell"
	if check.Test[0] == "CMD" {
		if startsWorker(check.Test[1:]) {
			return ""
		}
		runs = strings.Join(check.Test[1:min(len(check.Test), 2)], "")
	}
	return fmt.Sprintf("healthcheck runs %s, which this worker's image does not have: remove healthcheck, the image has its own", path.Base(runs))
}
