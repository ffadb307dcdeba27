package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"evalq/internal/evaluation"
)

// names are the field names that an object may have, each with those of the
// objects in it.
type names map[string]names

var interviewNames = namesOf(reflect.TypeFor[evaluation.Interview]())

// namesOf reads the names off the JSON tags of a type.
func namesOf(t reflect.Type) names {
	for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	out := names{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name != "" && name != "-" {
			out[name] = namesOf(t.Field(i).Type)
		}
	}
	return out
}

// checkNames refuses names that are not known, exactly as they are spelled, so
// that a slip such as "Answers" or "keypoints" does not quietly drop what was
// meant. Values of the wrong type are somebody else's to refuse.
func checkNames(data json.RawMessage, known names, at string) error {
	data = bytes.TrimSpace(data)
	switch {
	case known == nil || len(data) == 0:
		return nil
	case data[0] == '[':
		var items []json.RawMessage
		_ = json.Unmarshal(data, &items) // checked before
		for i, item := range items {
			if err := checkNames(item, known, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	case data[0] == '{':
		var fields map[string]json.RawMessage
		_ = json.Unmarshal(data, &fields)
		for _, name := range sortedKeys(fields) {
			inner, ok := known[name]
			if !ok {
				return problemf(http.StatusBadRequest, "unknown field %.60q%s; the fields are %s", name, within(at), strings.Join(sortedKeys(known), ", "))
			}
			if err := checkNames(fields[name], inner, strings.TrimPrefix(at+"."+name, ".")); err != nil {
				return err
			}
		}
	}
	return nil
}

func within(at string) string {
	if at == "" {
		return ""
	}
	return " in " + at
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
