package mongotest

import (
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// A dotted path meets arrays in three ways, all of which MongoDB follows at
// once: it goes into every document of an array, a numeric part also picks the
// element at that index, and an array at its end stands both for itself and
// for each of its elements.

// arrayAtEnd says what an array at the end of a path stands for.
type arrayAtEnd int

const (
	elementsAndArray arrayAtEnd = iota
	itself
)

// anyValue tells whether test holds for a value that the path reaches. A path
// that leads nowhere reaches missing.
func anyValue(d bson.D, path []string, at arrayAtEnd, test func(any) bool) bool {
	v, ok := lookup(d, path[0])
	if !ok {
		return test(missing)
	}
	return anyBelow(v, path[1:], at, test)
}

// anyBelow goes on from a value that the path has reached.
func anyBelow(v any, path []string, at arrayAtEnd, test func(any) bool) bool {
	array, isArray := v.(bson.A)
	switch {
	case len(path) == 0 && isArray && at == elementsAndArray:
		for _, elem := range array {
			if test(elem) {
				return true
			}
		}
		return test(array)
	case len(path) == 0:
		return test(v)
	case isArray:
		return anyInArray(array, path, at, test)
	}
	if d, ok := v.(bson.D); ok {
		return anyValue(d, path, at, test)
	}
	return test(missing)
}

func anyInArray(array bson.A, path []string, at arrayAtEnd, test func(any) bool) bool {
	index, isIndex := arrayIndex(path[0])
	for i, elem := range array {
		d, isDocument := elem.(bson.D)
		if isDocument && anyValue(d, path, at, test) {
			return true
		}
		if !isIndex || i != index {
			continue
		}
		// An element picked by its index at the end of a path stands for
		// itself, even where it is an array.
		if len(path) == 1 {
			if test(elem) {
				return true
			}
			continue
		}
		switch elem.(type) {
		case bson.D, bson.A:
			if anyBelow(elem, path[1:], at, test) {
				return true
			}
		}
	}
	return false
}

// meetsArray tells whether an array stands anywhere on the path.
func meetsArray(d bson.D, path []string) bool {
	for _, part := range path {
		v, _ := lookup(d, part)
		if _, ok := v.(bson.A); ok {
			return true
		}
		d, _ = v.(bson.D)
	}
	return false
}

// arrayIndex reads a path's part as an array index: digits without a leading
// zero.
func arrayIndex(part string) (int, bool) {
	if part == "" || part[0] < '0' || part[0] > '9' || (part[0] == '0' && len(part) > 1) {
		return 0, false
	}
	n, err := strconv.Atoi(part)
	return n, err == nil
}

func splitPath(path string) []string { return strings.Split(path, ".") }

func indexName(i int) string { return strconv.Itoa(i) }
