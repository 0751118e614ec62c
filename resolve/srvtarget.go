package resolve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// entry is what a table says of a name.
type entry struct {
	target Target
	source string
}

// answer says where the entry leads for host and port; dns is asked for the srv: parts of its target.
func (e entry) answer(ctx context.Context, host, port string, dns *nameServers) (Answer, error) {
	if !e.target.asksDNS() {
		return Answer{Endpoints: e.target.Endpoints(port), Source: e.source}, nil
	}
	total, cancel := context.WithTimeout(ctx, dns.total)
	defer cancel()
	answer, err := e.target.expand(total, port, dns)
	if gone := over(ctx); gone != nil && (err != nil || answer.Partial) {
		err = fmt.Errorf("ask for SRV records: %w", gone)
	}
	if err != nil {
		return Answer{}, fmt.Errorf("%s is %s: %w", host, e.source, err)
	}
	answer.Source = e.source
	return answer, nil
}

func (t Target) asksDNS() bool {
	return slices.ContainsFunc(t.parts, func(p part) bool { return p.srv != "" })
}

// expand returns the target's endpoints with those of its srv: parts. The priorities of a part's records lie within the
// part's own, beginning with that of the parts that stand beside it. A part that could not be resolved is left out as
// long as an endpoint remains; the error is never ErrNotFound, since the name is known.
func (t Target) expand(ctx context.Context, port string, dns *nameServers) (Answer, error) {
	questions, _, err := dns.questions()
	answers := make([]Answer, len(t.parts))
	errs := make([]error, len(t.parts))
	parallel(len(t.parts), func(i int) {
		switch p := t.parts[i]; {
		case p.srv == "":
			answers[i].Endpoints = Target{parts: []part{p}}.Endpoints(port)
		case err != nil:
			errs[i] = err
		default:
			answers[i], errs[i] = questions.places(ctx, strings.TrimSuffix(p.srv, "."))
			if errors.Is(errs[i], errNoRecord) {
				errs[i] = fmt.Errorf("SRV %s: %w", p.srv, errs[i])
			}
		}
	})
	var all Answer
	for i, answer := range answers {
		// What is said not to exist is not missing.
		all.Partial = all.Partial || answer.Partial || errs[i] != nil && !errors.Is(errs[i], ErrAbsent)
		if answer.TTL != 0 && (all.TTL == 0 || answer.TTL < all.TTL) {
			all.TTL = answer.TTL
		}
		rankWithin(answer.Endpoints, t.parts[i].priority)
		all.Endpoints = append(all.Endpoints, answer.Endpoints...)
	}
	if len(all.Endpoints) == 0 {
		return Answer{}, joinParts(errs)
	}
	slices.SortStableFunc(all.Endpoints, func(a, b Endpoint) int { return int(a.Priority) - int(b.Priority) })
	if len(all.Endpoints) > maxEndpoints {
		all.Endpoints, all.Partial = all.Endpoints[:maxEndpoints], true
	}
	renumber(all.Endpoints)
	return all, nil
}

// joinParts joins the errors of a target's parts. It is ErrAbsent only if every part is said not to exist: another one
// may be back.
func joinParts(errs []error) error {
	failed := slices.ContainsFunc(errs, func(err error) bool { return err != nil && !errors.Is(err, ErrAbsent) })
	for i, err := range errs {
		if failed && errors.Is(err, ErrAbsent) {
			errs[i] = errors.New(err.Error())
		}
	}
	return errors.Join(errs...)
}

// rankWithin gives endpoints, which are sorted, priorities that lie between group's and the next group's. Groups and
// ranks both fit into a byte: see maxParts and maxEndpoints.
func rankWithin(endpoints []Endpoint, group uint16) {
	renumber(endpoints)
	for i := range endpoints {
		endpoints[i].Priority += group << 8
	}
}

// renumber makes the priorities of sorted endpoints 0, 1, 2 and so on.
func renumber(endpoints []Endpoint) {
	var before, rank uint16
	for i := range endpoints {
		priority := endpoints[i].Priority
		if i > 0 && priority != before {
			rank++
		}
		before, endpoints[i].Priority = priority, rank
	}
}
