package mongotest

import (
	"regexp"
	"regexp/syntax"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// MongoDB's regular expressions are PCRE2, Go's are RE2. What RE2 does not
// know (look-around, back references, the flag x) is refused. What both know
// but take differently is translated: see endOfText.

func (f *filter) parseRegex(path string, v any, ops bson.D) (predicate, error) {
	var pattern, flags string
	switch v := v.(type) {
	case string:
		pattern = v
	case bson.Regex:
		pattern, flags = v.Pattern, v.Options
	default:
		return nil, failf(codeBadValue, "$regex has to be a string")
	}
	if o, ok := lookup(ops, "$options"); ok {
		s, ok := o.(string)
		if !ok {
			return nil, failf(codeBadValue, "$options has to be a string")
		}
		if flags != "" {
			return nil, failf(51075, "options set in both $regex and $options")
		}
		flags = s
	}
	test, err := regexTest(pattern, flags)
	return f.anyAt(path, test), err
}

// regexTest matches strings, and regular expressions that are the same.
func regexTest(pattern, flags string) (func(any) bool, error) {
	re, err := compileRegex(pattern, flags)
	if err != nil {
		return nil, err
	}
	return func(v any) bool {
		switch v := v.(type) {
		case string, bson.Symbol:
			return re.MatchString(text(v))
		case bson.Regex:
			return v.Pattern == pattern && v.Options == flags
		}
		return false
	}, nil
}

func compileRegex(pattern, flags string) (*regexp.Regexp, error) {
	mode := syntax.Perl
	for _, flag := range flags {
		switch flag {
		case 'i':
			mode |= syntax.FoldCase
		case 'm':
			mode &^= syntax.OneLine
		case 's':
			mode |= syntax.DotNL
		case 'u': // UTF-8, which is always on
		case 'x':
			return nil, unsupported("the regular expression flag x")
		default:
			return nil, failf(51108, "invalid flag in regex options: %c", flag)
		}
	}
	if strings.ContainsRune(pattern, 0) {
		return nil, failf(51091, "Regular expression cannot contain an embedded null byte")
	}
	tree, err := syntax.Parse(pattern, mode)
	if err != nil {
		return nil, failf(51091, "Regular expression is invalid, or beyond RE2, which mongotest has: %v", err)
	}
	if err := endOfText(tree, true); err != nil {
		return nil, err
	}
	re, err := regexp.Compile(tree.String())
	if err != nil {
		return nil, failf(51091, "Regular expression is invalid: %v", err)
	}
	return re, nil
}

// endOfText makes $ match before a last newline too, as in PCRE2, where RE2
// means the very end. That is only done where nothing can follow.
func endOfText(re *syntax.Regexp, last bool) error {
	switch re.Op {
	case syntax.OpEndText:
		if re.Flags&syntax.WasDollar == 0 {
			return nil
		}
		if !last {
			return unsupported("a $ in the middle of a regular expression")
		}
		tail, err := syntax.Parse(`\n?\z`, syntax.Perl)
		if err != nil {
			return err
		}
		*re = *tail
		return nil
	case syntax.OpConcat:
		for i, sub := range re.Sub {
			if err := endOfText(sub, last && i == len(re.Sub)-1); err != nil {
				return err
			}
		}
		return nil
	case syntax.OpAlternate, syntax.OpCapture:
	default:
		last = false
	}
	for _, sub := range re.Sub {
		if err := endOfText(sub, last); err != nil {
			return err
		}
	}
	return nil
}
