package rubric

import (
	"cmp"
	"math"
	"slices"

	"evalq/internal/evaluation"
)

// maxEntries bounds each list, as the schema does.
const maxEntries = 3

// report writes what was measured into an evaluation.
func (m measurement) report(e *evaluation.AnswerEvaluation, in evaluation.Input) {
	s := phrasesOf(in.Language)
	for i := range e.Dimensions {
		d := &e.Dimensions[i]
		if d.Key != evaluation.Completeness {
			d.Reason = s.notAssessed
			continue
		}
		d.Assessed = true
		d.Score = thousandths(evaluation.MaxDimension * m.share)
		d.Reason = s.basis(m)
	}
	e.Points = slices.Clone(m.points)
	for i := range e.Points {
		e.Points[i].Credit = thousandths(e.Points[i].Credit)
	}
	e.Flags = m.flags(in.Language)
	e.Confidence = m.confidence(e.Flags)
	e.NeedsReview = e.Confidence < reviewBelow || len(e.Flags) > 0
	m.lists(e, s)
}

func (m measurement) flags(lang string) []evaluation.Flag {
	var out []evaluation.Flag
	if m.echo {
		out = append(out, evaluation.FlagQuestionEcho)
	}
	if m.coverage < lowCoverage {
		out = append(out, evaluation.FlagLowCoverage)
	}
	if m.answer.foreign(lang) {
		out = append(out, evaluation.FlagLanguageMismatch)
	}
	if m.answer.wordList(m.whole) {
		out = append(out, evaluation.FlagWordList)
	}
	return out
}

// confidence follows the error that was measured against human grades: of 100
// points 3 to 12 from a coverage of 0.5, 12 to 18 from 0.3, 15 to 22 from 0.1,
// and up to 29 below. Flags put a lid on it.
func (m measurement) confidence(flags []evaluation.Flag) float64 {
	c := 0.25
	switch {
	case m.coverage >= 0.5:
		c = 0.85
	case m.coverage >= 0.3:
		c = 0.7
	case m.coverage >= lowCoverage:
		c = 0.55
	}
	for _, f := range flags {
		switch f {
		case evaluation.FlagWordList, evaluation.FlagQuestionEcho:
			c = min(c, 0.3)
		case evaluation.FlagLanguageMismatch:
			c = min(c, 0.35)
		}
	}
	return c
}

// lists names points, the weightiest first.
func (m measurement) lists(e *evaluation.AnswerEvaluation, s phrases) {
	points := slices.Clone(m.points)
	slices.SortStableFunc(points, func(a, b evaluation.Point) int { return cmp.Compare(b.Weight, a.Weight) })
	for _, p := range points {
		if p.Status == evaluation.Covered {
			e.Strengths = add(e.Strengths, s.format(s.covered, p.Text))
		}
	}
	for _, status := range []evaluation.Status{evaluation.Missing, evaluation.Partial} {
		for _, p := range points {
			if p.Status != status {
				continue
			}
			if status == evaluation.Missing {
				e.Weaknesses = add(e.Weaknesses, s.format(s.missing, p.Text))
				e.Suggestions = add(e.Suggestions, s.format(s.supply, p.Text))
			} else {
				e.Weaknesses = add(e.Weaknesses, s.format(s.partial, p.Text))
				e.Suggestions = add(e.Suggestions, s.format(s.complete, p.Text))
			}
		}
	}
	if m.echo {
		e.Weaknesses = []string{s.echo}
	}
}

func add(list []string, text string) []string {
	if len(list) < maxEntries {
		return append(list, text)
	}
	return list
}

// unmeasured is the evaluation of an answer that nothing can be said about.
func unmeasured(e *evaluation.AnswerEvaluation, lang string) {
	s := phrasesOf(lang)
	for i := range e.Dimensions {
		e.Dimensions[i].Reason = s.notAssessed
		if e.Dimensions[i].Key == evaluation.Completeness {
			e.Dimensions[i].Reason = s.noReference
		}
	}
	e.Flags = []evaluation.Flag{evaluation.FlagNoReference}
	e.NeedsReview = true
}

func thousandths(v float64) float64 { return math.Round(1000*v) / 1000 }
