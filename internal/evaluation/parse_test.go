package evaluation_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evalq/internal/evaluation"
)

const full = `{
	"user_id": 7, "report_id": 9223372036854775807, "title": "Round one", "position": "Engineer", "language": "en",
	"answers": [
		{"dialog_id": "a", "topic": "Go", "difficulty": 4, "question": "Why?", "answer": "Because.", "reference": "So.",
		 "key_points": [{"id": "k", "text": "reason", "weight": 2.5, "aliases": ["cause"]}, {"text": "more"}]},
		{"question": "And?"}
	]
}`

func TestParseInterviewFillsWhatWasLeftOut(t *testing.T) {
	t.Parallel()
	got, err := evaluation.ParseInterview([]byte(full))
	if err != nil {
		t.Fatal(err)
	}
	want := evaluation.Interview{
		UserID: 7, ReportID: 9223372036854775807, Title: "Round one", Position: "Engineer", Language: "en",
		Answers: []evaluation.Answer{
			{
				DialogID: "a", Topic: "Go", Difficulty: 4, Question: "Why?", Answer: "Because.", Reference: "So.",
				KeyPoints: []evaluation.KeyPoint{
					{ID: "k", Text: "reason", Weight: 2.5, Aliases: []string{"cause"}},
					{ID: "p2", Text: "more", Weight: 1, Aliases: []string{}},
				},
			},
			{DialogID: "2", Difficulty: 3, Question: "And?", KeyPoints: []evaluation.KeyPoint{}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseInterviewFindsTheLanguageInTheQuestions(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ fields, question, want string }{
		{"", "请说说 goroutine 和 channel", "zh"},
		{"", "What is a goroutine?", "en"},
		{`"language": "zh-CN",`, "What is a goroutine?", "zh"},
		{`"language": "EN_us",`, "请说说", "en"},
	} {
		in, err := evaluation.ParseInterview(fmt.Appendf(nil, `{"user_id":1,"report_id":1,%s"answers":[{"question":%q}]}`, tc.fields, tc.question))
		if err != nil || in.Language != tc.want {
			t.Errorf("%s %s: language %q, error %v, want %q", tc.fields, tc.question, in.Language, err, tc.want)
		}
	}
}

func TestParseInterviewTakesOneWithoutAnswers(t *testing.T) {
	t.Parallel()
	in, err := evaluation.ParseInterview([]byte(`{"user_id":1,"report_id":2,"answers":[]}`))
	if err != nil || len(in.Answers) != 0 {
		t.Errorf("%+v, %v", in, err)
	}
}

func TestParseInterviewNamesTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	answer := func(fields string) string {
		return `{"user_id":1,"report_id":1,"answers":[{"question":"q"},{"dialog_id":"x","question":"q",` + fields + `}]}`
	}
	point := func(fields string) string { return answer(`"key_points":[{"text":"t"},{` + fields + `}]`) }
	for _, tc := range []struct{ text, want string }{
		{``, "not JSON"},
		{`[]`, "expected a JSON object"},
		{`{"report_id":1}`, "user_id: missing"},
		{`{"user_id":1}`, "report_id: missing"},
		{`{"user_id":0,"report_id":1}`, "user_id: must be a whole number"},
		{`{"user_id":"1","report_id":1}`, "user_id: must be a whole number"},
		{`{"user_id":1,"report_id":1.5}`, "report_id: must be a whole number"},
		{`{"user_id":1,"report_id":-1}`, "report_id: must be a whole number"},
		{`{"user_id":1,"report_id":9223372036854775808}`, "report_id: must be a whole number"},
		{`{"user_id":1,"user_id":2,"report_id":1}`, `"user_id": given twice`},
		{`{"user_id":1,"report_id":1,"score":5}`, `unknown field "score"`},
		{`{"user_id":1,"report_id":1}`, "answers: missing; give []"},
		{`{"user_id":1,"report_id":1,"answers":null}`, "answers: missing; give []"},
		{`{"user_id":1,"report_id":1} {}`, "unexpected text after the value"},
		{`{"user_id":1,"report_id":1,"title":"a\u0000"}`, `"title": contains a NUL character`},
		{`{"user_id":1,"report_id":1,"language":"fr","answers":[]}`, `language: must be "zh" or "en"`},
		{`{"user_id":1,"report_id":1,"title":"` + strings.Repeat("a", 501) + `"}`, "title: 501 bytes"},
		{`{"user_id":1,"report_id":1,"answers":[` + strings.Repeat(`{"question":"q"},`, 500) + `{"question":"q"}]}`, "answers: 501 given"},
		{`{"user_id":1,"report_id":1,"answers":[{"question":" "}]}`, "answers[0].question: missing"},
		{`{"user_id":1,"report_id":1,"answers":[{"question":"q","dialog_id":"2"},{"question":"q"}]}`, "answers[1].dialog_id: the same as that of answers[0]"},
		{answer(`"answer":"` + strings.Repeat("a", evaluation.MaxText+1) + `"`), "answers[1].answer: 262145 bytes"},
		{answer(`"difficulty":6`), "answers[1].difficulty: must be a whole number from 1"},
		{answer(`"difficulty":2.5`), "answers[1].difficulty"},
		{answer(`"difficulty":"3"`), "answers[1].difficulty"},
		{point(`"text":"t","weight":0`), "answers[1].key_points[1].weight: must be above 0"},
		{point(`"text":"t","weight":-2`), "answers[1].key_points[1].weight: must be above 0"},
		{point(`"text":"t","weight":1e300`), "answers[1].key_points[1].weight: must be between"},
		{point(`"text":"t","weight":1e999`), "answers[1].key_points[1].weight: must be a number"},
		{point(`"text":"t","weight":"2"`), "answers[1].key_points[1].weight: must be a number"},
		{point(`"text":""`), "answers[1].key_points[1].text: missing"},
		{point(`"text":"t","id":"p1"`), "answers[1].key_points[1].id: the same as that of key_points[0]"},
		{point(`"text":"t","id":"a b"`), "answers[1].key_points[1].id: must not contain spaces"},
		{point(`"text":"t","aliases":["x",""]`), "answers[1].key_points[1].aliases[1]: is empty"},
		{strings.Repeat(" ", evaluation.MaxInterview+1), "interview: 1048577 bytes"},
	} {
		_, err := evaluation.ParseInterview([]byte(tc.text))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%.120s: error %v, want %q", tc.text, err, tc.want)
		}
	}
}

func TestHashDependsOnContentOnly(t *testing.T) {
	t.Parallel()
	parse := func(text string) evaluation.Interview {
		in, err := evaluation.ParseInterview([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	plain := parse(`{"user_id":1,"report_id":2,"language":"en","answers":[{"question":"q","answer":"a"}]}`)
	other := parse(` {"answers": [{"key_points": null, "answer":"\u0061", "difficulty": 0, "dialog_id":"1", "question":"q"}], "language": "en", "report_id":2, "user_id":1}`)
	if plain.Hash() != other.Hash() || plain.Answers[0].Hash() != other.Answers[0].Hash() {
		t.Error("the same content has two hashes")
	}
	if bare := (evaluation.Interview{UserID: 1, ReportID: 2, Language: "en", Answers: []evaluation.Answer{{DialogID: "1", Difficulty: 3, Question: "q", Answer: "a"}}}); bare.Hash() != plain.Hash() {
		t.Error("built and parsed interviews differ")
	}
	changed := parse(`{"user_id":1,"report_id":2,"language":"en","answers":[{"question":"q","answer":"b"}]}`)
	if plain.Hash() == changed.Hash() || plain.Answers[0].Hash() == changed.Answers[0].Hash() {
		t.Error("changed content has the same hash")
	}
	var stored evaluation.Interview
	if err := json.Unmarshal(plain.Canonical(), &stored); err != nil || stored.Hash() != plain.Hash() {
		t.Errorf("what was stored has another hash (%v)", err)
	}
}

func FuzzParseInterview(f *testing.F) {
	for _, seed := range []string{full, `{"user_id":1,"report_id":2,"answers":[]}`, `{"user_id":1,"report_id":2,"answers":[{"question":"问","key_points":[{"text":"a","weight":0.5}]}]}`, `{`, `null`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := evaluation.ParseInterview(b)
		if err != nil {
			return
		}
		if in.UserID < 1 || in.ReportID < 1 {
			t.Fatalf("ids %d, %d", in.UserID, in.ReportID)
		}
		if len(in.Canonical()) > evaluation.MaxInterview {
			return // escapes and defaults can make it longer than what came
		}
		again, err := evaluation.ParseInterview(in.Canonical())
		if err != nil {
			t.Fatalf("its own canonical form is refused: %v", err)
		}
		if again.Hash() != in.Hash() {
			t.Fatal("parsing the canonical form changes the hash")
		}
	})
}
