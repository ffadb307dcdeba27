package tasks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds nesting: nothing that evalq reads is deeper than ten.
const maxDepth = 64

// CheckJSON refuses what encoding/json lets pass or reports badly: text that is
// not UTF-8, duplicate field names (also those that differ only in case, which
// the decoder would merge), NUL characters in strings, escapes of half a
// surrogate pair (which the decoder would replace), data after the value,
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
	dec := checker{json.NewDecoder(bytes.NewReader(data)), data}
	dec.UseNumber()
	if err := dec.value("", depth); err != nil {
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

// checker reads tokens together with the text that they were written as.
type checker struct {
	*json.Decoder
	data []byte
}

// token gives the next token and, of a string, what is wrong with it.
func (dec checker) token() (tok json.Token, unfit string, err error) {
	begin := dec.InputOffset()
	if tok, err = dec.Token(); err != nil {
		return nil, "", err
	}
	s, _ := tok.(string)
	switch {
	case strings.ContainsRune(s, 0):
		unfit = "contains a NUL character"
	case strings.ContainsRune(s, utf8.RuneError) && halved(dec.data[begin:dec.InputOffset()]):
		unfit = `contains half of a surrogate pair: \ud800 to \udbff must be followed by \udc00 to \udfff`
	}
	return tok, unfit, nil
}

// halved finds an escape of half a surrogate pair in the text of a string.
func halved(text []byte) bool {
	unit := func(i int) rune { // the UTF-16 unit that is escaped at i; 0 if none is
		if i+6 > len(text) || text[i] != '\\' || text[i+1] != 'u' {
			return 0
		}
		n, _ := strconv.ParseUint(string(text[i+2:i+6]), 16, 16)
		return rune(n)
	}
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		if utf16.IsSurrogate(unit(i)) {
			if utf16.DecodeRune(unit(i), unit(i+6)) == utf8.RuneError {
				return true
			}
			i += 6
		}
		i++ // what a backslash escapes is no backslash itself
	}
	return false
}

func (dec checker) value(path string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: nested deeper than %d", at(path), maxDepth)
	}
	tok, unfit, err := dec.token()
	if err != nil {
		return syntax(dec, err)
	}
	if unfit != "" {
		return fmt.Errorf("%s: %s", at(path), unfit)
	}
	switch tok {
	case json.Delim('{'):
		return dec.object(path, depth)
	case json.Delim('['):
		return dec.array(path, depth)
	}
	return nil
}

func (dec checker) object(path string, depth int) error {
	seen := map[string]struct{}{}
	for dec.More() {
		tok, unfit, err := dec.token()
		if err != nil {
			return syntax(dec, err)
		}
		if unfit != "" {
			return fmt.Errorf("%s: a field name %s", at(path), unfit)
		}
		name, _ := tok.(string)
		child := name
		if path != "" {
			child = path + "." + name
		}
		folded := strings.Map(fold, name)
		if _, dup := seen[folded]; dup {
			return fmt.Errorf("%s: given twice", at(clip(child)))
		}
		seen[folded] = struct{}{}
		if err := dec.value(clip(child), depth+1); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return syntax(dec, err)
}

func (dec checker) array(path string, depth int) error {
	for i := 0; dec.More(); i++ {
		if err := dec.value(fmt.Sprintf("%s[%d]", path, i), depth+1); err != nil {
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

func syntax(dec checker, err error) error {
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
