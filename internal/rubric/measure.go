package rubric

import (
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"evalq/internal/evaluation"
)

// maxClauses bounds the sentences of a reference that are explained one by one.
const maxClauses = 12

// measurement is what was found in one answer.
type measurement struct {
	answer   *answer
	question []token
	whole    target // all that was asked for, as one
	prose    bool   // measured against a reference, not key points
	coverage float64
	share    float64 // of the full score, 0 … 1
	echo     bool
	points   []evaluation.Point
}

// measure is false when there is nothing to measure against.
func measure(in evaluation.Answer) (measurement, bool) {
	m := measurement{question: tokenise(in.Question)}
	asked := termsOf(m.question)
	if !measurable(in, asked) {
		return m, false
	}
	m.answer = newAnswer(in.Answer)
	m.points, m.coverage = m.answer.keyPoints(in.KeyPoints, asked)
	m.share = m.coverage
	if len(m.points) > 0 {
		m.whole = newTarget(joined(in.KeyPoints), asked)
	} else {
		m.prose = true
		m.whole = newTarget(in.Reference, asked)
		m.coverage, _ = m.whole.coverage(m.answer)
		m.share = bent(m.coverage)
		m.points = m.answer.clauses(in.Reference, asked)
	}
	if m.answer.echoes(m.question) {
		m.discard()
	}
	return m, true
}

// bent is the share of the full score that a coverage of prose earns.
func bent(coverage float64) float64 { return 1 - math.Pow(1-coverage, bend) }

func measurable(in evaluation.Answer, asked terms) bool {
	for _, p := range in.KeyPoints {
		if newTarget(p.Text, asked).sum > 0 {
			return true
		}
	}
	return newTarget(in.Reference, asked).sum > 0
}

// discard takes everything back from an answer that only repeats the question.
func (m *measurement) discard() {
	m.echo, m.coverage, m.share = true, 0, 0
	for i := range m.points {
		p := &m.points[i]
		p.Credit, p.Status, p.Evidence = 0, evaluation.Missing, nil
	}
}

func joined(points []evaluation.KeyPoint) string {
	texts := make([]string, len(points))
	for i, p := range points {
		texts[i] = p.Text
	}
	return strings.Join(texts, "\n")
}

// keyPoints gives each point its credit, and their weighted mean. Points whose
// text has no letters are left out.
func (a *answer) keyPoints(points []evaluation.KeyPoint, asked terms) (out []evaluation.Point, mean float64) {
	sum, weights := 0.0, 0.0
	for _, p := range points {
		t := newTarget(p.Text, asked)
		if t.sum == 0 {
			continue
		}
		point := a.point(p.ID, p.Text, p.Weight, t)
		for _, alias := range p.Aliases {
			a.alias(&point, newTarget(alias, asked))
		}
		out = append(out, point)
		sum += p.Weight * point.Credit
		weights += p.Weight
	}
	if weights == 0 {
		return nil, 0
	}
	return out, sum / weights
}

func (a *answer) point(id, text string, weight float64, t target) evaluation.Point {
	credit, hits := t.coverage(a)
	p := evaluation.Point{ID: id, Text: text, Weight: weight, Credit: credit, Evidence: a.evidence(t, hits)}
	p.Status = statusOf(credit, pointCovered, pointPartial)
	return p
}

// alias raises the credit of a point that the answer makes in other words. An
// alias of nothing but the question's words proves little.
func (a *answer) alias(p *evaluation.Point, t target) {
	credit := demoted
	for _, w := range t.terms {
		if w.fresh {
			credit = 1
			break
		}
	}
	if credit <= p.Credit {
		return
	}
	if hits := t.spoken(a); hits != nil {
		p.Credit, p.Status, p.Evidence = credit, statusOf(credit, pointCovered, pointPartial), a.evidence(t, hits)
	}
}

func statusOf(coverage, covered, partial float64) evaluation.Status {
	switch {
	case coverage >= covered:
		return evaluation.Covered
	case coverage >= partial:
		return evaluation.Partial
	}
	return evaluation.Missing
}

// clauses explains a prose reference sentence by sentence, on the same curve.
// They carry no score: that comes from the reference as a whole.
func (a *answer) clauses(reference string, asked terms) []evaluation.Point {
	var out []evaluation.Point
	for _, text := range sentences(reference) {
		t := newTarget(text, asked)
		if t.sum > 0 {
			p := a.point("r"+strconv.Itoa(len(out)+1), text, 1, t)
			p.Status = statusOf(p.Credit, proseCovered, lowCoverage)
			p.Credit = bent(p.Credit)
			out = append(out, p)
		}
	}
	return out
}

// sentences cuts a text at its full stops; what is beyond the limit stays in
// the last one.
func sentences(text string) []string {
	var out []string
	start := 0
	for i, r := range text {
		if len(out) == maxClauses-1 {
			break
		}
		end := i + utf8.RuneLen(r)
		if !endsSentence(r, text, end) {
			continue
		}
		if s := strings.TrimSpace(text[start:end]); s != "" {
			out = append(out, s)
		}
		start = end
	}
	if s := strings.TrimSpace(text[start:]); s != "" {
		out = append(out, s)
	}
	return out
}

func endsSentence(r rune, text string, end int) bool {
	switch r {
	case '。', '！', '？', '；', '!', '?', ';', '\n':
		return true
	case '.':
		// Not the one in 1.5 or sync.Mutex.
		next, _ := utf8.DecodeRuneInString(text[end:])
		return end == len(text) || unicode.IsSpace(next)
	}
	return false
}
