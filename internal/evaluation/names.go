package evaluation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"evalq/tasks"
)

// FormError says that a document has not the form of an interview, whatever its
// values are: it is no object, or a field in it is unknown.
type FormError struct{ text string }

// Error names the field.
func (e *FormError) Error() string { return e.text }

// ParseInterviewOf reads the interview that is to be stored under a report's id.
// It is ParseInterview, except that report_id may be left out and names have to
// be spelled exactly as they are. What is not of the form is a *FormError.
func ParseInterviewOf(report int64, b []byte) (Interview, error) {
	if err := tasks.CheckJSON(b); err != nil {
		return Interview{}, err
	}
	if err := checkNames(b, interviewNames, ""); err != nil {
		return Interview{}, err
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal(b, &top); err != nil || top == nil {
		return Interview{}, &FormError{"expected a JSON object"}
	}
	if raw, ok := top["report_id"]; ok && string(raw) != "null" {
		id, err := tasks.ParseID("report_id", raw)
		if err != nil {
			return Interview{}, err
		}
		if id != report {
			return Interview{}, errors.New("report_id: differs from the one that the interview is stored under")
		}
		return ParseInterview(b)
	}
	top["report_id"] = fmt.Appendf(nil, "%d", report)
	b, err := json.Marshal(top)
	if err != nil {
		return Interview{}, err
	}
	return ParseInterview(b)
}

// Names are the field names that an object may have, each with those of the
// objects in it.
type Names map[string]Names

var interviewNames = NamesOf(reflect.TypeFor[Interview]())

// NamesOf reads the names off the JSON tags of a type.
func NamesOf(t reflect.Type) Names {
	for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	out := Names{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name != "" && name != "-" {
			out[name] = NamesOf(t.Field(i).Type)
		}
	}
	return out
}

// checkNames refuses names that are not known, exactly as they are spelled, so
// that a slip such as "Answers" or "keypoints" does not quietly drop what was
// meant. Values of the wrong type are somebody else's to refuse.
func checkNames(data json.RawMessage, known Names, at string) error {
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
				return &FormError{fmt.Sprintf("unknown field %.60q%s; the fields are %s", name, within(at), strings.Join(sortedKeys(known), ", "))}
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
