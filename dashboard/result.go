package dashboard

import (
	"encoding/json"
	"errors"
	"strings"
)

// result is what the pages show of a stored result: the fields of the schemas
// report/1 and answer-eval/1, and of lists of the latter, and those of a report
// that a platform's own function has made. What a result does not have stays empty
// and is not shown; nothing is worked out here.
type result struct {
	Overall     json.Number    `json:"overall"`
	Score       json.Number    `json:"score"`
	Band        string         `json:"band"`
	Confidence  json.Number    `json:"confidence"`
	NeedsReview bool           `json:"needs_review"`
	Language    string         `json:"language"`
	Summary     string         `json:"summary"`
	Comment     lines          `json:"comment"` // of a platform's own function, as its dimensions' names
	Limits      lines          `json:"limits"`
	Dimensions  []dimension    `json:"dimensions"`
	Topics      []topic        `json:"topics"`
	Answers     []answerResult `json:"answers"`
	Strengths   lines          `json:"strengths"`
	Weaknesses  lines          `json:"weaknesses"`
	Suggestions lines          `json:"suggestions"`
	Answered    json.Number    `json:"answered"`
	Evaluated   json.Number    `json:"evaluated"`
	Total       json.Number    `json:"total"`
}

type dimension struct {
	Key      string      `json:"key"`
	Score    json.Number `json:"score"`
	Max      json.Number `json:"max"`
	Weight   json.Number `json:"weight"`
	Assessed bool        `json:"assessed"`
	Reason   string      `json:"reason"`

	Name       string `json:"dimension_name"`
	Evaluation string `json:"evaluation"`
}

type topic struct {
	Topic     string      `json:"topic"`
	Answers   json.Number `json:"answers"`
	Score     json.Number `json:"score"`
	Min       json.Number `json:"min"`
	Max       json.Number `json:"max"`
	Strengths lines       `json:"strengths"`
	Gaps      lines       `json:"gaps"`
}

type answerResult struct {
	DialogID    label       `json:"dialog_id"`
	Topic       string      `json:"topic"`
	Score       json.Number `json:"score"`
	Band        string      `json:"band"`
	Confidence  json.Number `json:"confidence"`
	NeedsReview bool        `json:"needs_review"`
	Flags       []string    `json:"flags"`
	Dimensions  []dimension `json:"dimensions"`
	Points      []point     `json:"points"`
	Strengths   lines       `json:"strengths"`
	Weaknesses  lines       `json:"weaknesses"`
	Suggestions lines       `json:"suggestions"`
}

type point struct {
	Text     string      `json:"text"`
	Weight   json.Number `json:"weight"`
	Status   string      `json:"status"`
	Credit   json.Number `json:"credit"`
	Evidence struct {
		Quote string `json:"quote"`
	} `json:"evidence"`
}

// Facts are the words under the score.
func (r *result) Facts() (facts []string) {
	if r.Confidence != "" {
		facts = append(facts, "confidence "+r.Confidence.String())
	}
	of := ""
	if r.Total != "" {
		of = " of " + r.Total.String()
	}
	if r.Answered != "" {
		facts = append(facts, "answered "+r.Answered.String()+of)
	}
	if r.Evaluated != "" {
		facts = append(facts, "evaluated "+r.Evaluated.String()+of)
	}
	return facts
}

// label is a text, or a number as it is written.
type label string

func (l *label) UnmarshalJSON(raw []byte) error {
	*l = label(text(raw))
	return nil
}

// lines is a text, a list of texts, or a list of objects with a text.
type lines []string

func (l *lines) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		if one != "" {
			*l = lines{one}
		}
		return nil
	}
	var many []json.RawMessage
	if json.Unmarshal(raw, &many) != nil {
		return nil // not a form we show; the raw result has it
	}
	for _, item := range many {
		var finding struct {
			Text      string  `json:"text"`
			DialogIDs []label `json:"dialog_ids"`
		}
		if json.Unmarshal(item, &one) == nil {
			*l = append(*l, one)
		} else if json.Unmarshal(item, &finding) == nil && finding.Text != "" {
			*l = append(*l, finding.Text+evidence(finding.DialogIDs))
		}
	}
	return nil
}

// evidence names the answers that a finding rests on.
func evidence(ids []label) string {
	if len(ids) == 0 {
		return ""
	}
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = string(id)
	}
	return " (" + strings.Join(names, ", ") + ")"
}

// adopt puts what a platform's own function calls otherwise in its place.
func (r *result) adopt() {
	if r.Summary == "" {
		r.Summary = strings.Join(r.Comment, "\n")
	}
	for i, d := range r.Dimensions {
		if d.Key == "" && d.Name != "" {
			r.Dimensions[i] = dimension{Key: d.Name, Score: d.Score, Assessed: d.Score != "", Reason: d.Evaluation}
		}
	}
}

// readResult gives what can be shown of a stored result, or nil. A field of
// another form than expected is left out; the page has the stored text as well.
func readResult(raw json.RawMessage) *result {
	if len(raw) == 0 {
		return nil
	}
	r := &result{}
	var form *json.UnmarshalTypeError
	if raw[0] == '[' {
		if err := json.Unmarshal(raw, &r.Answers); err != nil && !errors.As(err, &form) {
			return nil
		}
	} else if err := json.Unmarshal(raw, r); err != nil && !errors.As(err, &form) {
		return nil
	}
	r.adopt()
	if r.Overall == "" && r.Score == "" && r.Summary == "" && len(r.Answers) == 0 && len(r.Dimensions) == 0 {
		return nil
	}
	return r
}
