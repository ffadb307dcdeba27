package tasks_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"evalq/tasks"
)

func TestCheckJSONAcceptsEveryOrdinaryValue(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		`null`, `true`, `0`, `-1.5e+300`, `""`, `"面试"`, `"\ud83d\ude00"`, `"\\ud83d"`, `"\ufffd\uD83D\uDE00"`, "\"\ufffd\"", `{"\\ud800":"\ufffd\\\\ud800"}`, `[]`, `{}`, " [1 , {\"a\" : null}]\n", `{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}`,
		strings.Repeat("[", 60) + strings.Repeat("]", 60),
	} {
		if err := tasks.CheckJSON([]byte(s)); err != nil {
			t.Errorf("%.60s: %v", s, err)
		}
	}
}

func TestCheckJSONNamesTheFieldByItsPath(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"a":{"b":[0,{"c":1,"C":2}]}}`: `"a.b[1].C": given twice`,
		`{"a":["x\u0000"]}`:             `"a[0]": contains a NUL`,
		`"\u0000"`:                      `the value: contains a NUL`,
		`{"a":{"\u0000":1}}`:            `"a": a field name contains a NUL`,
		`{"a":["\ud800"]}`:              `"a[0]": contains half of a surrogate pair`,
		`{"a":"x\ud83dy\ude00"}`:        `"a": contains half`,
		`{"a" : "\ude00\ud83d"}`:        `"a": contains half`,
		`{"a":"\uD83D\u0041"}`:          `"a": contains half`,
		`{"a":"\ud83d\\ude00"}`:         `"a": contains half`,
		`"\ud83d"`:                      `the value: contains half`,
		`{"a":{"\udc00":1}}`:            `"a": a field name contains half`,
		strings.Repeat("[", 70) + strings.Repeat("]", 70): "nested deeper than 64",
		`{"` + strings.Repeat("n", 5000) + `":"\u0000"}`:  "…",
	} {
		err := tasks.CheckJSON([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: error %v does not say %s", text, err, want)
		} else if len(err.Error()) > 400 {
			t.Errorf("%.60s: an error of %d bytes", text, len(err.Error()))
		}
	}
}

func TestCheckJSONSurvivesHostileNesting(t *testing.T) {
	t.Parallel()
	for _, open := range []string{"[", `{"a":`, `[{"a":`} {
		if err := tasks.CheckJSON([]byte(strings.Repeat(open, 300_000))); err == nil || !strings.Contains(err.Error(), "deeper") {
			t.Errorf("%s…: %v", open, err)
		}
	}
}

func FuzzCheckJSON(f *testing.F) {
	for _, s := range []string{
		`{}`, `[1,]`, `{"a":1,}`, `{"a":1 "b":2}`, `[1 2]`, `{"a","b"}`, `{1:2}`, `"\ud800"`, "\"\x01\"", `1 2`, `{"a":1,"A":2}`, `{"ſ":1,"S":2}`, `{"K":1,"k":1}`,
		`"a\u0000"`, `]`, `{"a":[}`, `tru`, `-`, `01`, "\xff", `{"a":{"b":{}}}`, `,`, `[,1]`, `{,}`, `{"a"::1}`, "\ufeff{}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		err := tasks.CheckJSON(data)
		valid := json.Valid(data)
		switch {
		case err == nil && !valid:
			t.Fatal("accepted what is no JSON")
		case err == nil && !utf8.Valid(data):
			t.Fatal("accepted what is not UTF-8")
		case err == nil && bytes.Contains(data, []byte(`\u0000`)) && !bytes.Contains(data, []byte(`\\u0000`)):
			t.Fatal("accepted a NUL")
		case err == nil:
			wantNoTwins(t, json.NewDecoder(bytes.NewReader(data)))
		case valid && utf8.Valid(data) && strings.HasPrefix(err.Error(), "not JSON"):
			t.Fatalf("says of good JSON: %v", err)
		}
	})
}

// wantNoTwins reads one value and fails on an object with two names that the
// standard decoder takes for one.
func wantNoTwins(t *testing.T, dec *json.Decoder) {
	t.Helper()
	tok, err := dec.Token()
	if err != nil {
		t.Fatal(err)
	}
	d, composite := tok.(json.Delim)
	if !composite {
		return
	}
	var names []string
	for dec.More() {
		if d == '{' {
			tok, err := dec.Token()
			if err != nil {
				t.Fatal(err)
			}
			name := tok.(string)
			for _, other := range names {
				if strings.EqualFold(name, other) {
					t.Fatalf("accepted %q beside %q", name, other)
				}
			}
			names = append(names, name)
		}
		wantNoTwins(t, dec)
	}
	if _, err := dec.Token(); err != nil {
		t.Fatal(err)
	}
}

func TestWhatMarshalWritesPassesTheCheck(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.MapOf(rapid.StringMatching(`[a-z0-9]{1,6}`), rapid.SliceOf(rapid.Int64())).Draw(t, "v")
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := tasks.CheckJSON(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	})
}

func TestDecodeStrictNamesTheFieldAndNotItsValue(t *testing.T) {
	t.Parallel()
	type inner struct {
		N    int64  `json:"n"`
		Flag bool   `json:"flag"`
		Text string `json:"text"`
	}
	type doc struct {
		Inner inner   `json:"inner"`
		List  []inner `json:"list"`
	}
	for text, want := range map[string]string{
		`{"inner":{"n":"s3cr3t"}}`:                `"inner.n": expected a JSON number`,
		`{"inner":{"n":7771234.5}}`:               `"inner.n": expected a JSON number`,
		`{"inner":{"flag":"s3cr3t"}}`:             `"inner.flag": expected a JSON true or false`,
		`{"inner":{"text":7771234}}`:              `"inner.text": expected a JSON string`,
		`{"inner":"s3cr3t"}`:                      `"inner": expected a JSON object`,
		`{"list":"s3cr3t"}`:                       `"list": expected a JSON array`,
		`{"list":[{"other":"s3cr3t"}]}`:           `unknown field "other"`,
		`"s3cr3t"`:                                `expected a JSON object`,
		`{"` + strings.Repeat("x", 5000) + `":1}`: "unknown field",
		`{"inner":s3cr3t}`:                        "not JSON",
	} {
		var d doc
		err := tasks.DecodeStrict([]byte(text), &d)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: error %v does not say %s", text, err, want)
			continue
		}
		if strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), "7771234") || len(err.Error()) > 300 {
			t.Errorf("%.60s: the error says too much: %.400s", text, err)
		}
	}
	var d doc
	if err := tasks.DecodeStrict([]byte(`{"inner":{"n":9007199254740993}}`), &d); err != nil || d.Inner.N != 9007199254740993 {
		t.Errorf("got %+v, %v", d, err)
	}
}
