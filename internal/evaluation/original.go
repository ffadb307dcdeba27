package evaluation

import (
	"math"
	"slices"
	"strings"
)

// OriginalReportShape is a report in the form in which the platform has always
// stored and shown it.
type OriginalReportShape struct {
	Comment    string              `json:"comment"`
	Dimensions []OriginalDimension `json:"dimensions"`
	Score      float64             `json:"score"` // mean of the dimensions, two decimals
}

// OriginalDimension is one axis of the platform's radar.
type OriginalDimension struct {
	Name       string `json:"dimension_name"`
	Evaluation string `json:"evaluation"`
	Score      int32  `json:"score"` // 0 … 100
}

// OriginalAnswerShape is the per-topic result in the platform's form.
type OriginalAnswerShape struct {
	Records []OriginalRecord `json:"records"`
}

// OriginalRecord is one question with what was said about it.
type OriginalRecord struct {
	Order   int32             `json:"order"` // from 1
	Content string            `json:"content"`
	Comment OriginalComment   `json:"comment"`
	Message []OriginalMessage `json:"message"`
}

// OriginalComment is what was said about one answer. Score is null when the
// answer could not be scored: 0 would be a statement.
type OriginalComment struct {
	Score      *int32 `json:"score"`
	KeyPoints  string `json:"key_points"`
	Difficulty string `json:"difficulty"` // easy, medium or hard
	Strengths  string `json:"strengths"`
	Weaknesses string `json:"weaknesses"`
	Suggestion string `json:"suggestion"`
	KnowPoints string `json:"know_points"`
	Thinking   string `json:"thinking"`
	Reference  string `json:"reference"`
}

// OriginalMessage is one exchange of the interview, from its data.
type OriginalMessage struct {
	Order    int32  `json:"order"`
	Question string `json:"question"`
	Answer   string `json:"answer"`
}

// OriginalReport renders a report in the original's form. Only dimensions that
// were assessed become axes.
func OriginalReport(r *Report) OriginalReportShape {
	w := wordsOf(r.Language)
	out := OriginalReportShape{Dimensions: []OriginalDimension{}}
	parts := []string{r.Summary}
	for i, list := range [][]Finding{r.Strengths, r.Weaknesses, r.Suggestions} {
		for _, f := range list {
			parts = append(parts, w.labels[i]+w.sentence(f.Text))
		}
	}
	for _, l := range r.Limits {
		parts = append(parts, w.sentence(l))
	}
	out.Comment = strings.Join(parts, "\n")
	sum := 0
	for _, d := range r.Dimensions {
		if d.Assessed {
			text := w.bands[BandOf(d.Score)] + w.basis(d.Answers)
			out.Dimensions = append(out.Dimensions, OriginalDimension{w.dimensions[d.Key], text, int32(d.Score)})
			sum += d.Score
		}
	}
	if n := len(out.Dimensions); n > 0 {
		out.Score = math.Round(100*float64(sum)/float64(n)) / 100
	}
	return out
}

// OriginalAnswerReport renders a per-topic result in the original's form. The
// exchanges come from the interview and from nowhere else; when an answer has
// changed since it was evaluated, its record says so.
func OriginalAnswerReport(t *TopicEvaluation, in Interview) OriginalAnswerShape {
	out := OriginalAnswerShape{Records: []OriginalRecord{}}
	for i, e := range t.Answers {
		r := OriginalRecord{Order: int32(i + 1), Content: e.Topic, Message: []OriginalMessage{}}
		var a Answer
		if j := slices.IndexFunc(in.Answers, func(a Answer) bool { return a.DialogID == e.DialogID }); j >= 0 {
			a = in.Answers[j]
			r.Content = a.Question
			r.Message = append(r.Message, OriginalMessage{1, a.Question, a.Answer})
		}
		r.Comment = originalComment(e, a, Input{Language: in.Language, Answer: a}.Hash() != e.Audit.InputSHA256)
		out.Records = append(out.Records, r)
	}
	return out
}

func originalComment(e AnswerEvaluation, a Answer, changed bool) OriginalComment {
	w := wordsOf(e.Language)
	c := OriginalComment{
		Difficulty: "medium",
		Strengths:  w.lines(e.Strengths),
		Weaknesses: w.lines(e.Weaknesses),
		Suggestion: w.lines(e.Suggestions),
		KnowPoints: e.Topic,
		Reference:  a.Reference,
	}
	if e.Score != nil {
		score := int32(*e.Score)
		c.Score = &score
	}
	switch {
	case e.Difficulty <= 2:
		c.Difficulty = "easy"
	case e.Difficulty >= 4:
		c.Difficulty = "hard"
	}
	var points, thoughts []string
	for _, p := range e.Points {
		points = append(points, p.Text)
	}
	c.KeyPoints = w.lines(points)
	for _, d := range e.Dimensions {
		if d.Reason != "" && !slices.Contains(thoughts, d.Reason) {
			thoughts = append(thoughts, d.Reason)
		}
	}
	if changed {
		thoughts = append(thoughts, w.changed)
	}
	c.Thinking = w.lines(thoughts)
	return c
}
