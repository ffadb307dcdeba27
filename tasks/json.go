package tasks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxDepth bounds nesting: nothing that evalq reads is deeper than ten.
const maxDepth = 64

// CheckJSON refuses what encoding/json lets pass or reports badly: text that is
// not UTF-8, duplicate field names (also those that differ only in case, which
// the decoder would merge), NUL characters in strings, data after the value,
// nesting deeper than 64. Errors name the field, never its value.
func CheckJSON(data []byte) error { return checkJSON(data, 0) }

// checkJSON checks a value that stands depth levels inside another.
func checkJSON(data []byte, depth int) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return errors.New("not JSON: the text is empty")
	}
	if !utf8.Valid(data) {
		return errors.New("not JSON: the text is not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := checkValue(dec, "", depth); err != nil {
		return err
	}
	// The token reader is laxer than the parser in a few places.
	if !json.Valid(data[:dec.InputOffset()]) {
		return fmt.Errorf("not JSON: syntax error before byte %d", dec.InputOffset())
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("not JSON: unexpected text after the value, at byte %d", dec.InputOffset())
	}
	return nil
}

func checkValue(dec *json.Decoder, path string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: nested deeper than %d", at(path), maxDepth)
	}
	tok, err := dec.Token()
	if err != nil {
		return syntax(dec, err)
	}
	switch v := tok.(type) {
	case json.Delim:
		if v == '{' {
			return checkObject(dec, path, depth)
		}
		return checkArray(dec, path, depth)
	case string:
		if strings.ContainsRune(v, 0) {
			return fmt.Errorf("%s: contains a NUL character", at(path))
		}
	}
	return nil
}

func checkObject(dec *json.Decoder, path string, depth int) error {
	seen := map[string]struct{}{}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return syntax(dec, err)
		}
		name, _ := tok.(string)
		if strings.ContainsRune(name, 0) {
			return fmt.Errorf("%s: a field name contains a NUL character", at(path))
		}
		child := name
		if path != "" {
			child = path + "." + name
		}
		folded := strings.Map(fold, name)
		if _, dup := seen[folded]; dup {
			return fmt.Errorf("%s: given twice", at(clip(child)))
		}
		seen[folded] = struct{}{}
		if err := checkValue(dec, clip(child), depth+1); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return syntax(dec, err)
}

func checkArray(dec *json.Decoder, path string, depth int) error {
	for i := 0; dec.More(); i++ {
		if err := checkValue(dec, fmt.Sprintf("%s[%d]", path, i), depth+1); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return syntax(dec, err)
}

// fold maps a letter to the one that stands for all its cases, as the decoder
// does: it takes "ſ" for an s, and lower case alone would miss that.
func fold(r rune) rune {
	for {
		next := unicode.SimpleFold(r)
		if next <= r {
			return next
		}
		r = next
	}
}

// clip keeps a hostile field name from filling an error message.
func clip(path string) string {
	if len(path) <= 120 {
		return path
	}
	return strings.ToValidUTF8(path[:120], "") + "…"
}

func at(path string) string {
	if path == "" {
		return "the value"
	}
	return fmt.Sprintf("%q", path)
}

func syntax(dec *json.Decoder, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("not JSON: the text ends too early")
	}
	return fmt.Errorf("not JSON: syntax error near byte %d", dec.InputOffset())
}

// DecodeStrict decodes data into v, refusing unknown fields, and puts the
// decoder's complaint into words that name the field and not its value. Call
// CheckJSON first.
func DecodeStrict(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == nil {
		return nil
	}
	var typ *json.UnmarshalTypeError
	if errors.As(err, &typ) {
		field := typ.Field
		if field == "" {
			return fmt.Errorf("expected a JSON %s", jsonWord(typ.Type.Kind().String()))
		}
		// The decoder's Value can hold the offending number, so it is left out.
		return fmt.Errorf("%q: expected a JSON %s", clip(field), jsonWord(typ.Type.Kind().String()))
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return fmt.Errorf("unknown field %s", clip(name))
	}
	return fmt.Errorf("not JSON of the expected form at byte %d", dec.InputOffset())
}

func jsonWord(kind string) string {
	switch kind {
	case "struct", "map":
		return "object"
	case "slice", "array":
		return "array"
	case "bool":
		return "true or false"
	case "string":
		return "string"
	default:
		return "number of the right size and form"
	}
}
