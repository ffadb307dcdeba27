package mq

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

func TestAnIDThatAFloatHasChangedIsAmongThoseItMayHaveBeen(t *testing.T) {
	t.Parallel()
	ids := []int64{maxExact, maxExact + 1, maxExact + 2, maxExact + 3, 1<<54 - 1, 1 << 54, 1<<54 + 2, 1 << 62, 1<<62 - 256, math.MaxInt64 - 1024, math.MaxInt64 - 513}
	for range 20_000 {
		ids = append(ids, maxExact+rand.Int64N(math.MaxInt64-maxExact-1024))
	}
	for _, n := range ids {
		f := float64(n)
		if f >= math.MaxInt64 {
			continue // above what an id can be
		}
		text, err := json.Marshal(f) // as the original's publisher wrote it
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseID("report_id", string(text), false)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if n < got.Low || n > got.High {
			t.Fatalf("%d became %s, which is read as %d to %d", n, text, got.Low, got.High)
		}
		if float64(got.Low) != f || float64(got.High) != f {
			t.Fatalf("%s: an end of %d to %d would not have become it", text, got.Low, got.High)
		}
		if float64(got.Low-1) == f || got.High < math.MaxInt64 && float64(got.High+1) == f {
			t.Fatalf("%s: the ids beside %d to %d would have become it too", text, got.Low, got.High)
		}
	}
}

func TestAnIDThatNoFloatHasTouchedIsExact(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"1": 1, "42": 42, "42.0": 42, "4.2e1": 42, "9007199254740991": maxExact - 1, "9007199254740993": maxExact + 1, "9223372036854775807": math.MaxInt64,
	} {
		if got, err := parseID("id", text, false); err != nil || got != (id{want, want}) {
			t.Errorf("the number %s: %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]int64{"42": 42, "0042": 42, "9007199254740992": maxExact, "4611686018427387904": 1 << 62} {
		if got, err := parseID("id", text, true); err != nil || got != (id{want, want}) {
			t.Errorf("the text %q: %v, %v", text, got, err)
		}
	}
}

func FuzzParseID(f *testing.F) {
	for _, s := range []string{"42", "-1", "0", "1.9", "1e3", "1e999999999", "9007199254740992", "18446744073709552000", "0x10", "1_0", " 1", "٣", "1/1", "NaN", "+5"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, text string, exact bool) {
		got, err := parseID("id", text, exact)
		if err != nil {
			return
		}
		if got.Low < 1 || got.High < got.Low || exact && !got.exact() {
			t.Fatalf("%q: %v", text, got)
		}
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && (n < got.Low || n > got.High) {
			t.Fatalf("%q is read as %v", text, got)
		}
	})
}

func FuzzReadMessage(f *testing.F) {
	for _, s := range []string{`{"type":"evaluation_report","payload":{"report_id":42,"user_id":7}}`, `null`, `[]`, `{"TYPE":"t","Payload":{}}`, `{"type":"t","payload":[1]}`, `{"type":1}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := readMessage(body)
		if err != nil {
			if m != nil {
				t.Fatal("a message and an error")
			}
			return
		}
		if m.Type.validate() != nil || m.Payload == nil {
			t.Fatalf("%q gives %+v", body, m)
		}
		if _, err := request(m); err == nil && !m.Type.known() {
			t.Fatalf("%q is asked for", m.Type)
		}
	})
}
