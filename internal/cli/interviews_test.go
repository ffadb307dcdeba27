package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evalq/internal/evaluation"
)

func TestCSVRowsOfOneReportAreOneInterview(t *testing.T) {
	t.Parallel()
	got := parseInterviews(t.Context(), formatCSV, []byte("\ufeffReport_ID , user_id,title,language,position,dialog_id,topic,difficulty,question,answer,reference,key_points\r\n"+
		"42,7,Go interview,en,Engineer,d1,Go,2,What is GMP?,\"three things, I think\",a model,\"2|scheduled by the runtime|GMP;调度器\nlight|cheap;small\nno weight\"\n"+
		"43,8,,zh,,,,,Redis 是什么？,,,\n"+
		"42,,,,,,,,Another?,,,1.5|first / second|b\n"))
	if len(got.wrong) > 0 {
		t.Fatal(got.wrong)
	}
	want := []evaluation.Interview{
		{UserID: 7, ReportID: 42, Title: "Go interview", Language: "en", Position: "Engineer", Answers: []evaluation.Answer{
			{DialogID: "d1", Topic: "Go", Difficulty: 2, Question: "What is GMP?", Answer: "three things, I think", Reference: "a model", KeyPoints: []evaluation.KeyPoint{
				{ID: "p1", Text: "scheduled by the runtime", Weight: 2, Aliases: []string{"GMP", "调度器"}},
				{ID: "p2", Text: "light", Weight: 1, Aliases: []string{"cheap", "small"}},
				{ID: "p3", Text: "no weight", Weight: 1, Aliases: []string{}},
			}},
			{DialogID: "2", Difficulty: 3, Question: "Another?", KeyPoints: []evaluation.KeyPoint{
				{ID: "p1", Text: "first", Weight: 1.5, Aliases: []string{}}, {ID: "p2", Text: "second", Weight: 1, Aliases: []string{"b"}},
			}},
		}},
		{UserID: 8, ReportID: 43, Language: "zh", Answers: []evaluation.Answer{
			{DialogID: "1", Difficulty: 3, Question: "Redis 是什么？", KeyPoints: []evaluation.KeyPoint{}},
		}},
	}
	if diff := cmp.Diff(want, got.good); diff != "" {
		t.Error(diff)
	}
}

// Each row is a file and the places that are named, in order.
func TestMistakesAreNamedByLineAndField(t *testing.T) {
	t.Parallel()
	const head = "report_id,user_id,question,difficulty,key_points,title\n"
	for _, c := range []struct {
		name, format, text string
		good               int
		want               []string
	}{
		{"ids", formatCSV, head + "0,7,q,,,\n1.5,7,q,,,\n\"abc\",7,q,,,\n1,-7,q,,,\n9223372036854775808,7,q,,,\n", 0,
			[]string{"2: report_id: must", "3: report_id: must", "4: report_id: must", "5: user_id: must", "6: report_id: must"}},
		{"no user", formatCSV, head + "1,,q,,,\n", 0, []string{"2: user_id: missing"}},
		{"answer without question", formatCSV, head + "1,7,,2,,\n", 0, []string{"2: question: missing"}},
		{"second answer", formatCSV, head + "1,7,q,,,\n2,7,q,,,\n1,,q,9,,\n", 1, []string{"4: difficulty: must"}},
		{"difficulty in words", formatCSV, head + "1,7,q,hard,,\n", 0, []string{"2: difficulty: must"}},
		{"weight below zero", formatCSV, head + "1,7,q,,-1|text,\n", 0, []string{"2: key_points[0].weight: must"}},
		{"two users", formatCSV, head + "1,7,q,,,\n1,8,q,,,\n", 0, []string{"3: user_id: differs"}},
		{"two titles", formatCSV, head + "1,7,q,,,A\n1,7,q,,,B\n", 0, []string{"3: title: differs"}},
		{"line after a cell of two", formatCSV, head + "1,7,q,,\"a\nb\",\n2,0,q,,,\n", 1, []string{"4: user_id: must"}},
		{"short row", formatCSV, head + "3,7,q,,,\n1,7,q,,,\n1,7\n1,7,z,,,\n2,7\n2,7,z,,,\n", 1, []string{"4: 2 cells", "6: 2 cells"}},
		{"long row in an interview", formatCSV, head + "1,7,q,,,\n1,7,a,b,c,d,e\n1,7,z,,,\n2,7,q,,,\n", 1, []string{"3: 7 cells"}},
		{"row of nobody", formatCSV, head + "1,7,q,,,\n2,7,q,,,\n,7,z,,,\n3,7,q,,,\n4,7,q,,,\n", 2, []string{"4: report_id: missing"}},
		{"row of nobody first", formatCSV, head + "x,7,z,,,\n3,7,q,,,\n4,7,q,,,\n", 1, []string{"2: report_id: must"}},
		{"quote in a later row", formatCSV, head + "31,7,q,,,\n32,7,q,,,\n33,7,q,,,\n32,7,a \" b,,,\n31,7,z,,,\n", 1,
			[]string{"5: not CSV", "2: report_id: may go on", "3: report_id: may go on"}},
		{"quote that is not closed", formatCSV, head + "31,7,q,,,\n32,7,q,,,\n32,7,\"b,,,\n", 1, []string{"4: not CSV", "3: report_id: may go on"}},
		{"too many cells", formatCSV, head + "1,7,a,b,c,d,e\n", 0, []string{"2: 7 cells"}},
		{"quote", formatCSV, head + "1,7,a \" b,,,\n2,7,q,,,\n", 0, []string{"2: not CSV"}},
		{"unknown column", formatCSV, "report_id,user_id,qestion\n1,7,q\n", 0, []string{"1: unknown column \"qestion\"", "1: question: the column is missing"}},
		{"column twice", formatCSV, "report_id,user_id,question,question\n", 0, []string{"1: question: the column is there twice"}},
		{"empty", formatCSV, "", 0, []string{"1: the file is empty"}},
		{"not UTF-8", formatCSV, head + "1,7,\xff,,,\n", 0, []string{"2: not UTF-8"}},
		{"NUL", formatCSV, head + "1,7,a\x00b,,,\n", 0, []string{"2: "}},
		{"syntax", formatJSON, "[\n{\"user_id\":1,}\n]", 0, []string{"2: not JSON"}},
		{"duplicate field", formatJSON, `{"user_id":1,"user_id":1}`, 0, []string{"1: \"user_id\": given twice"}},
		{"a number", formatJSON, "42", 0, []string{"1: "}},
		{"same report twice", formatJSON, "[" + interview(7, 42, "x") + ",\n" + interview(7, 42, "y") + "]", 1, []string{"2: report_id: the same"}},
		{"inner field", formatJSON, "{\"interviews\":[\n\n" + strings.Replace(interview(7, 42, "x"), `"text":"x"`, `"text":""`, 1) + "]}", 0,
			[]string{"3: answers[0].key_points[0].text: missing"}},
		{"string id", formatJSON, strings.Replace(interview(7, 42, "x"), "42", `"42"`, 1), 0, []string{"1: report_id: must"}},
	} {
		got := parseInterviews(t.Context(), c.format, []byte(c.text))
		if len(got.good) != c.good || len(got.wrong) != len(c.want) {
			t.Errorf("%s: %d good, wrong %v", c.name, len(got.good), got.wrong)
			continue
		}
		for i, want := range c.want {
			if !strings.HasPrefix(got.wrong[i].String(), want) {
				t.Errorf("%s: %q, want %q", c.name, got.wrong[i], want)
			}
		}
	}
}

func TestTheFormatIsThatOfTheNameOrTheFirstCharacter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ given, name, text, want string }{
		{"", "a.json", "report_id", "json"}, {"", "a.CSV", "{", "csv"}, {"", "-", " \ufeff[", "json"}, {"", "-", "report_id,", "csv"}, {"csv", "a.json", "", "csv"},
	} {
		if got, err := formatOf(c.given, c.name, []byte(c.text)); got != c.want || err != nil {
			t.Errorf("%+v: %q %v", c, got, err)
		}
	}
}

func FuzzImportStoresOnlyWhatTheServerWouldTake(f *testing.F) {
	f.Add(true, []byte(interview(7, 42, "x")))
	f.Add(true, []byte(`{"interviews":[{"user_id":1,"report_id":2,"answers":[]}]}`))
	f.Add(true, []byte(`{"interviews":{}}`))
	f.Add(false, []byte("report_id,user_id,question,key_points\n1,2,q,\"3|a|b;c\nd\"\n1,,,\n"))
	f.Add(false, []byte("report_id,user_id,question,key_points\n1,2,q,NaN|a\n"))
	f.Fuzz(func(t *testing.T, isJSON bool, data []byte) {
		format := formatCSV
		if isJSON {
			format = formatJSON
		}
		got := parseInterviews(t.Context(), format, data)
		for _, in := range got.good {
			doc, err := json.Marshal(in)
			if err != nil {
				t.Fatal(err)
			}
			back, err := evaluation.ParseInterview(doc)
			if err != nil {
				t.Fatalf("%v: %s", err, doc)
			}
			if diff := cmp.Diff(in, back); diff != "" {
				t.Error(diff)
			}
		}
		for _, m := range got.wrong {
			if m.Line < 1 || m.Message == "" {
				t.Errorf("%+v", m)
			}
		}
	})
}
