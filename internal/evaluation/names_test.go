package evaluation_test

import (
	"errors"
	"strings"
	"testing"

	"evalq/internal/evaluation"
)

func TestAnInterviewIsReadAsTheOneOfItsReport(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{`{"user_id":1,"answers":[]}`, `{"user_id":1,"report_id":9223372036854775807,"answers":[]}`, `{"user_id":1,"report_id":null,"answers":[]}`} {
		in, err := evaluation.ParseInterviewOf(9223372036854775807, []byte(doc))
		if err != nil || in.ReportID != 9223372036854775807 || in.UserID != 1 {
			t.Errorf("%s: %+v, %v", doc, in, err)
		}
	}
	for _, c := range []struct {
		doc, says string
		form      bool
	}{
		{`{"user_id":1,"report_id":3,"answers":[]}`, "report_id: differs", false},
		{`{"user_id":1,"report_id":"2","answers":[]}`, "report_id: must be", false},
		{`{"user_id":1,"Answers":[]}`, `unknown field "Answers"`, true},
		{`{"user_id":1,"answers":[{"key_points":[{"Text":"x"}]}]}`, `unknown field "Text" in answers[0].key_points[0]`, true},
		{`[]`, "expected a JSON object", true},
		{`null`, "expected a JSON object", true},
		{`{"user_id":1}`, "answers: missing", false},
		{`{`, "not JSON", false},
	} {
		_, err := evaluation.ParseInterviewOf(2, []byte(c.doc))
		var form *evaluation.FormError
		if err == nil || !strings.Contains(err.Error(), c.says) || errors.As(err, &form) != c.form {
			t.Errorf("%s: %v", c.doc, err)
		}
	}
}
