package tasks_test

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"evalq/tasks"
)

const custom tasks.Kind = "resume_parse"

func TestParseReadsThePayloadOfItsKind(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind tasks.Kind
		text string
		want tasks.Payload
	}{
		"report":                {tasks.KindEvaluationReport, `{"user_id":7,"report_id":42}`, tasks.EvaluationReport{UserID: 7, ReportID: 42}},
		"topics":                {tasks.KindTopicEvaluation, ` { "report_id" : 42 , "user_id" : 7 } `, tasks.TopicEvaluation{UserID: 7, ReportID: 42}},
		"custom with data":      {custom, `{"user_id":7,"report_id":42,"data":{"a":[1,2]}}`, tasks.Custom{Name: custom, UserID: 7, ReportID: 42, Data: json.RawMessage(`{"a":[1,2]}`)}},
		"custom without":        {custom, `{"user_id":7,"report_id":42}`, tasks.Custom{Name: custom, UserID: 7, ReportID: 42}},
		"custom with null":      {custom, `{"user_id":7,"report_id":42,"data":null}`, tasks.Custom{Name: custom, UserID: 7, ReportID: 42}},
		"smallest ids":          {tasks.KindEvaluationReport, `{"user_id":1,"report_id":1}`, tasks.EvaluationReport{UserID: 1, ReportID: 1}},
		"largest ids":           {tasks.KindEvaluationReport, `{"user_id":9223372036854775807,"report_id":9223372036854775807}`, tasks.EvaluationReport{UserID: math.MaxInt64, ReportID: math.MaxInt64}},
		"beyond a float's 2^53": {tasks.KindTopicEvaluation, `{"user_id":9007199254740993,"report_id":9223372036854775806}`, tasks.TopicEvaluation{UserID: 9007199254740993, ReportID: math.MaxInt64 - 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := tasks.Parse(c.kind, []byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestParseRefusesABadPayloadAndNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	const big = "9223372036854775808" // 2^63
	for text, want := range map[string]string{
		``:                                      "empty",
		" \n":                                   "empty",
		`nope`:                                  "not JSON",
		`{"user_id":1,"report_id":1`:            "ends too early",
		`{"user_id":1,"report_id":1,}`:          "not JSON",
		`{"user_id":1 "report_id":1}`:           "not JSON",
		`[1,2]`:                                 "object",
		`7`:                                     "object",
		`null`:                                  "user_id",
		`{}`:                                    "user_id",
		`{"user_id":1}`:                         "report_id",
		`{"report_id":1}`:                       "user_id",
		`{"user_id":null,"report_id":1}`:        "user_id",
		`{"user_id":0,"report_id":1}`:           "user_id",
		`{"user_id":1,"report_id":0}`:           "report_id",
		`{"user_id":-0,"report_id":1}`:          "user_id",
		`{"user_id":-5,"report_id":1}`:          "user_id",
		`{"user_id":1.5,"report_id":1}`:         "user_id",
		`{"user_id":1.0,"report_id":1}`:         "user_id",
		`{"user_id":1e3,"report_id":1}`:         "user_id",
		`{"user_id":1E+3,"report_id":1}`:        "user_id",
		`{"user_id":01,"report_id":1}`:          "not JSON",
		`{"user_id":+1,"report_id":1}`:          "not JSON",
		`{"user_id":0x10,"report_id":1}`:        "not JSON",
		`{"user_id":"1","report_id":1}`:         "user_id",
		`{"user_id":true,"report_id":1}`:        "user_id",
		`{"user_id":[1],"report_id":1}`:         "user_id",
		`{"user_id":{"v":1},"report_id":1}`:     "user_id",
		`{"user_id":` + big + `,"report_id":1}`: "user_id",
		`{"user_id":1,"report_id":` + big + `}`: "report_id",
		`{"user_id":1,"report_id":1` + strings.Repeat("0", 400) + `}`:                             "report_id",
		`{"user_id":1,"report_id":1,"priority":"low"}`:                                            `unknown field "priority"`,
		`{"user_id":1,"report_id":1,"data":{}}`:                                                   "data",
		`{"user_id":1,"report_id":1,"data":null}`:                                                 "data",
		`{"user_id":1,"user_id":2,"report_id":1}`:                                                 `"user_id": given twice`,
		`{"user_id":1,"USER_ID":2,"report_id":1}`:                                                 "given twice",
		`{"user_id":1,"u\u017Fer_id":2,"report_id":1}`:                                            "given twice", // ſ, which the decoder folds to s
		`{"user_id":1,"report_id":1} {}`:                                                          "after the value",
		`{"user_id":1,"report_id":1}x`:                                                            "after the value",
		`{"user_id":1,"report_id":1,"x\u0000":1}`:                                                 "NUL",
		"{\"user_id\":1,\"report_id\":1,\"x\x00\":1}":                                             "not JSON",
		"{\"user_id\":1,\"report_id\":1,\"x\":\"\xff\"}":                                          "UTF-8",
		`{"user_id":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `,"report_id":1}`: "deeper",
		strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100):                             "deeper",
	} {
		p, err := tasks.Parse(tasks.KindEvaluationReport, []byte(text))
		if err == nil {
			t.Errorf("%.80s: parsed as %+v", text, p)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: error %q does not say %q", text, err, want)
		}
	}
}

func TestParseRefusesBadCustomData(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		`"a\u0000b"`:                  "NUL",
		`{"k":1,"K":2}`:               "given twice",
		`{"\u212A":1,"k":2}`:          "given twice", // the Kelvin sign folds to k
		`{"a":{"b":[{"c":1,"c":1}]}}`: "given twice",
		`"` + strings.Repeat("x", tasks.MaxData) + `"`: "at most",
	} {
		_, err := tasks.Parse(custom, []byte(`{"user_id":1,"report_id":1,"data":`+data+`}`))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: error %v does not say %q", data, err, want)
		}
	}
}

func TestParseRefusesABadKind(t *testing.T) {
	t.Parallel()
	for _, k := range []tasks.Kind{"", "Report", "evaluation-report", "evaluation_report\n", "9lives", "_x", "a/b", "面试", tasks.Kind(strings.Repeat("k", 64))} {
		if _, err := tasks.Parse(k, []byte(`{"user_id":1,"report_id":1}`)); err == nil || !strings.Contains(err.Error(), "kind") {
			t.Errorf("kind %q: error %v", k, err)
		}
	}
}

// TestErrorsNeverQuoteAValue plants a secret wherever a value can stand.
func TestErrorsNeverQuoteAValue(t *testing.T) {
	t.Parallel()
	secrets := []string{"s3cr3t_9f", "777123456789777123456789", "-777123456789", "0.777123456789"}
	shapes := []string{
		`{"user_id":$,"report_id":1}`, `{"user_id":1,"report_id":$}`, `{"user_id":"$","report_id":1}`, `{"user_id":["$"],"report_id":1}`,
		`{"user_id":1,"report_id":1,"token":"$"}`, `{"user_id":1,"report_id":1,"token":{"deep":"$"}}`, `{"user_id":1,"report_id":1,"data":"$"}`,
		`{"user_id":1,"user_id":"$","report_id":1}`, `{"user_id":"$","USER_ID":"$","report_id":1}`, `{"user_id":1,"report_id":1,"data":"$\u0000"}`,
		`{"user_id":1,"report_id":1,"data":{"a":"$","a":"$"}}`, `{"user_id":1,"report_id":1}"$"`, `{"user_id":1,"report_id":1} $`,
		`$`, `"$"`, `["$"]`, `{"user_id":"$`, `{"user_id":$`, `{"user_id":1,"report_id":1,"data":["$",}`, `{"user_id":"\u000$","report_id":1}`,
		`{"user_id":1,"report_id":1,"data":` + strings.Repeat(`["$",`, 80) + `1` + strings.Repeat("]", 80) + `}`,
	}
	refused := 0
	for _, kind := range []tasks.Kind{tasks.KindEvaluationReport, custom} {
		for _, shape := range shapes {
			for _, secret := range secrets {
				_, err := tasks.Parse(kind, []byte(strings.ReplaceAll(shape, "$", secret)))
				if err == nil {
					continue // such as data that is fine for a custom kind
				}
				refused++
				if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "7771234") {
					t.Errorf("%.80s: the error quotes the value: %v", shape, err)
				}
			}
		}
	}
	if refused < len(shapes)*len(secrets) {
		t.Errorf("only %d texts were refused", refused)
	}
}

// payloads draws any valid payload.
func payloads() *rapid.Generator[tasks.Payload] {
	return rapid.Custom(func(t *rapid.T) tasks.Payload {
		user, report := rapid.Int64Min(1).Draw(t, "user"), rapid.Int64Min(1).Draw(t, "report")
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			return tasks.EvaluationReport{UserID: user, ReportID: report}
		case 1:
			return tasks.TopicEvaluation{UserID: user, ReportID: report}
		}
		c := tasks.Custom{Name: tasks.Kind(rapid.StringMatching(`[a-z][a-z0-9_]{0,30}`).Draw(t, "name")), UserID: user, ReportID: report}
		if rapid.Bool().Draw(t, "has data") {
			text := strings.ReplaceAll(rapid.String().Draw(t, "text"), "\x00", "")
			c.Data, _ = json.Marshal(map[string]any{"text": strings.ToValidUTF8(text, ""), "list": []int64{math.MaxInt64}})
		}
		return c
	})
}

func TestEncodeAndParseAreInverse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := payloads().Filter(func(p tasks.Payload) bool { return p.Validate() == nil }).Draw(t, "payload")
		text, err := tasks.Encode(p)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tasks.Parse(p.Kind(), text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if diff := cmp.Diff(canonical(p), canonical(got)); diff != "" {
			t.Fatalf("-in +out\n%s", diff)
		}
	})
}

// canonical decodes the data, so that two spellings of one value are equal.
func canonical(p tasks.Payload) any {
	c, ok := p.(tasks.Custom)
	if !ok || c.Data == nil {
		return p
	}
	dec := json.NewDecoder(bytes.NewReader(c.Data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return err.Error()
	}
	c.Data = nil
	return []any{c, v}
}

func TestWhatEncodeWritesOfTheLargestDataParseStillReads(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{
		"marks that HTML escapes": `"` + strings.Repeat("<&>", (tasks.MaxData-2)/3) + `"`,
		"line separators":         `"` + strings.Repeat("\u2028", (tasks.MaxData-2)/3) + `"`,
		"white space":             `[` + strings.Repeat(" ", tasks.MaxData-2) + `]`,
	} {
		p := tasks.Custom{Name: custom, UserID: 1, ReportID: 1, Data: json.RawMessage(data)}
		text, err := tasks.Encode(p)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := tasks.Parse(custom, text); err != nil {
			t.Errorf("%s: Parse refuses what Encode wrote: %v", name, err)
		}
	}
}

func TestDataIsTooDeepForEncodeWhenItIsTooDeepForParse(t *testing.T) {
	t.Parallel()
	accepted := 0
	for depth := 55; depth < 75; depth++ {
		p := tasks.Custom{Name: custom, UserID: 1, ReportID: 1, Data: json.RawMessage(strings.Repeat("[", depth) + "1" + strings.Repeat("]", depth))}
		text, err := tasks.Encode(p)
		if err != nil {
			continue
		}
		accepted++
		if _, err := tasks.Parse(custom, text); err != nil {
			t.Errorf("depth %d: Parse refuses what Encode wrote: %v", depth, err)
		}
	}
	if accepted == 0 || accepted == 20 {
		t.Errorf("%d of 20 depths accepted: the limit lies elsewhere", accepted)
	}
}

func TestEncodeRefusesAnInvalidPayload(t *testing.T) {
	t.Parallel()
	for _, p := range []tasks.Payload{
		tasks.EvaluationReport{ReportID: 1}, tasks.TopicEvaluation{UserID: -1, ReportID: 1}, tasks.Custom{Name: tasks.KindEvaluationReport, UserID: 1, ReportID: 1},
		tasks.Custom{Name: "Bad", UserID: 1, ReportID: 1}, tasks.Custom{Name: custom, UserID: 1, ReportID: 1, Data: json.RawMessage(`{`)},
	} {
		if text, err := tasks.Encode(p); err == nil {
			t.Errorf("%+v: encoded as %s", p, text)
		}
	}
}

type stranger struct{ tasks.Custom }

func TestRequestNamesTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	good := tasks.EvaluationReport{UserID: 1, ReportID: 1}
	if err := (tasks.Request{Payload: good}).Validate(); err != nil {
		t.Fatal(err)
	}
	for want, r := range map[string]tasks.Request{
		"payload: missing":                 {},
		"payload: *tasks.Custom":           {Payload: &tasks.Custom{Name: custom, UserID: 1, ReportID: 1, Data: json.RawMessage(`1`)}}, // its data would be lost
		"payload: tasks_test.stranger":     {Payload: stranger{tasks.Custom{Name: custom, UserID: 1, ReportID: 1}}},
		"payload: *tasks.EvaluationReport": {Payload: (*tasks.EvaluationReport)(nil)},
		"user_id":                          {Payload: tasks.EvaluationReport{ReportID: 1}},
		"kind":                             {Payload: tasks.Custom{Name: "A b", UserID: 1, ReportID: 1}},
		"priority":                         {Payload: good, Priority: "urgent"},
		"run_at":                           {Payload: good, RunAt: farAway},
	} {
		if err := r.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"user_id":7,"report_id":42}`, `{"user_id":9223372036854775807,"report_id":9007199254740993}`, `{"user_id":9223372036854775808,"report_id":1}`,
		`{"USER_ID":7,"report_id":42}`, `{"user_id":1e3,"report_id":1}`, `{"user_id":1,"report_id":1,"data":{"a":"<\u2028"}}`, `{"user_id":1,"report_id":1,"data":null}`,
		`{"user_id":1,"uſer_id":2,"report_id":1}`, `{"user_id":1,"report_id":1} x`, `{"user_id":"1","report_id":1}`, `[[[[[[[[`, `{"user_id":-0,"report_id":1}`,
	} {
		f.Add(string(tasks.KindEvaluationReport), []byte(s))
		f.Add(string(custom), []byte(s))
	}
	f.Fuzz(func(t *testing.T, kind string, data []byte) {
		p, err := tasks.Parse(tasks.Kind(kind), data)
		if err != nil {
			return
		}
		if string(p.Kind()) != kind || p.Validate() != nil {
			t.Fatalf("parsed %+v, which is not valid for kind %q", p, kind)
		}
		user, report := p.Subject()
		wantDigits(t, data, "user_id", user)
		wantDigits(t, data, "report_id", report)
		text, err := tasks.Encode(p)
		if err != nil {
			t.Fatalf("encode: %v", err)
		}
		again, err := tasks.Parse(tasks.Kind(kind), text)
		if err != nil {
			t.Fatalf("parse %s again: %v", text, err)
		}
		if diff := cmp.Diff(canonical(p), canonical(again)); diff != "" {
			t.Fatalf("-first +second\n%s", diff)
		}
	})
}

// wantDigits compares an id with the digits of its only occurrence in the text.
func wantDigits(t *testing.T, data []byte, field string, id int64) {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatalf("parsed what is no object: %v", err)
	}
	seen := 0
	for name, raw := range fields {
		if !strings.EqualFold(name, field) {
			continue
		}
		seen++
		if string(raw) != strconv.FormatInt(id, 10) {
			t.Fatalf("%s %s was read as %d", field, raw, id)
		}
	}
	if seen != 1 {
		t.Fatalf("%s occurs %d times", field, seen)
	}
}
