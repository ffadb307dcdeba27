package evaluation

import (
	"cmp"
	"math"
	"slices"
)

const (
	maxFindings = 5
	// goodScore divides what a report calls a strength from what it calls a
	// weakness: the lower edge of the band "good".
	goodScore = 60
)

// aggregate computes a report from the evaluations of all answers of in, in
// their order. At least one must have a score.
func aggregate(in Interview, evals []AnswerEvaluation) *Report {
	r := &Report{
		Schema: ReportSchema, ReportID: in.ReportID, UserID: in.UserID,
		Title: in.Title, Position: in.Position, Language: in.Language,
		Total: len(evals),
	}
	for _, e := range evals {
		r.Answers = append(r.Answers, AnswerScore{DialogID: e.DialogID, Score: e.Score, Confidence: e.Confidence, Flags: e.Flags})
		if !e.Has(FlagEmpty) {
			r.Answered++
		}
	}
	if mean := meanScore(evals); mean != nil {
		r.Overall, r.Band = *mean, BandOf(*mean)
	}
	t := totals(in, evals)
	r.Evaluated, r.Confidence, r.NeedsReview, r.Limits, r.Audit = t.evaluated, t.confidence, t.needsReview, t.limits, t.audit
	r.Dimensions = reportDimensions(evals)
	r.Topics = topicScores(evals)
	r.Strengths, r.Weaknesses = topicFindings(in.Language, r.Topics, evals)
	r.Suggestions = suggestions(evals)
	r.Summary = summary(r)
	return r
}

// collect makes the per-topic result of the same evaluations.
func collect(in Interview, evals []AnswerEvaluation) *TopicEvaluation {
	t := totals(in, evals)
	return &TopicEvaluation{
		Schema: TopicSchema, ReportID: in.ReportID, UserID: in.UserID, Title: in.Title, Language: in.Language,
		Answers: evals, Evaluated: t.evaluated, Total: len(evals),
		Confidence: t.confidence, NeedsReview: t.needsReview, Limits: t.limits, Audit: t.audit,
	}
}

// meanScore weighs by difficulty and leaves out what has no score.
func meanScore(evals []AnswerEvaluation) *int {
	sum, weights := 0.0, 0.0
	for _, e := range evals {
		if e.Score != nil {
			w := importance(e.Difficulty)
			sum += w * float64(*e.Score)
			weights += w
		}
	}
	if weights == 0 {
		return nil
	}
	mean := int(math.Round(sum / weights))
	return &mean
}

// reportDimensions takes unanswered questions as 0 on every dimension that was
// assessed on some other answer.
func reportDimensions(evals []AnswerEvaluation) []ReportDimension {
	out := make([]ReportDimension, 0, len(dimensionWeights))
	for i, d := range dimensionWeights {
		rd := ReportDimension{Key: d.key}
		sum, weights := 0.0, 0.0
		for _, e := range evals {
			blank := e.Has(FlagEmpty)
			if !blank && !e.Dimensions[i].Assessed {
				continue
			}
			rd.Assessed = rd.Assessed || !blank
			rd.Answers++
			w := importance(e.Difficulty)
			weights += w
			if !blank {
				sum += w * e.Dimensions[i].Score / MaxDimension
			}
		}
		if !rd.Assessed {
			rd.Answers = 0
		} else {
			rd.Score = int(math.Round(100 * sum / weights))
		}
		out = append(out, rd)
	}
	return out
}

func topicScores(evals []AnswerEvaluation) []TopicScore {
	var out []TopicScore
	for _, topic := range topicsOf(evals) {
		of := ofTopic(evals, topic)
		t := TopicScore{Topic: topic, Answers: len(of), Score: meanScore(of)}
		difficulty := 0
		for _, e := range of {
			difficulty += e.Difficulty
			if e.Score != nil {
				t.Min, t.Max = lower(t.Min, *e.Score), higher(t.Max, *e.Score)
			}
		}
		t.DifficultyMean = round(float64(difficulty) / float64(len(of)))
		t.Strengths = topicEntries(of, []Status{Covered}, func(e AnswerEvaluation) []string { return e.Strengths })
		t.Gaps = topicEntries(of, []Status{Missing, Contradicted, Partial}, func(e AnswerEvaluation) []string { return e.Weaknesses })
		out = append(out, t)
	}
	return out
}

// topicEntries lists the points of a status, the weightiest first, and what the
// judge wrote where there are no points.
func topicEntries(evals []AnswerEvaluation, statuses []Status, written func(AnswerEvaluation) []string) []string {
	type entry struct {
		text   string
		rank   int
		weight float64
	}
	var entries []entry
	for _, e := range evals {
		if e.Score == nil {
			continue
		}
		if len(e.Points) == 0 {
			for _, text := range written(e) {
				entries = append(entries, entry{text: clip(text)})
			}
		}
		for _, p := range e.Points {
			if rank := slices.Index(statuses, p.Status); rank >= 0 {
				entries = append(entries, entry{clip(p.Text), rank, p.Weight})
			}
		}
	}
	slices.SortStableFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(b.weight, a.weight))
	})
	var out []string
	for _, e := range entries {
		if len(out) < maxEntries && !slices.Contains(out, e.text) {
			out = append(out, e.text)
		}
	}
	return out
}

func topicFindings(lang string, topics []TopicScore, evals []AnswerEvaluation) (strong, weak []Finding) {
	w := wordsOf(lang)
	scored := slices.DeleteFunc(slices.Clone(topics), func(t TopicScore) bool { return t.Score == nil })
	slices.SortStableFunc(scored, func(a, b TopicScore) int { return cmp.Compare(*b.Score, *a.Score) })
	for _, t := range scored {
		if *t.Score >= goodScore && len(strong) < maxFindings {
			ids := dialogs(ofTopic(evals, t.Topic), func(score int) bool { return score >= goodScore })
			strong = append(strong, Finding{w.topicStrength(t), ids})
		}
	}
	slices.Reverse(scored)
	for _, t := range scored {
		if *t.Score < goodScore && len(weak) < maxFindings {
			ids := dialogs(ofTopic(evals, t.Topic), func(score int) bool { return score < goodScore })
			weak = append(weak, Finding{w.topicWeakness(t), ids})
		}
	}
	return strong, weak
}

// suggestions takes the first of each answer, the lowest score first, and
// merges those that say the same.
func suggestions(evals []AnswerEvaluation) []Finding {
	scored := slices.DeleteFunc(slices.Clone(evals), func(e AnswerEvaluation) bool { return e.Score == nil })
	slices.SortStableFunc(scored, func(a, b AnswerEvaluation) int { return cmp.Compare(*a.Score, *b.Score) })
	var out []Finding
	for _, e := range scored {
		if len(e.Suggestions) == 0 {
			continue
		}
		text := e.Suggestions[0]
		if i := slices.IndexFunc(out, func(f Finding) bool { return f.Text == text }); i >= 0 {
			out[i].DialogIDs = append(out[i].DialogIDs, e.DialogID)
		} else if len(out) < maxFindings {
			out = append(out, Finding{text, []string{e.DialogID}})
		}
	}
	return out
}

func topicsOf(evals []AnswerEvaluation) []string {
	var out []string
	for _, e := range evals {
		if !slices.Contains(out, e.Topic) {
			out = append(out, e.Topic)
		}
	}
	return out
}

func ofTopic(evals []AnswerEvaluation, topic string) []AnswerEvaluation {
	return slices.DeleteFunc(slices.Clone(evals), func(e AnswerEvaluation) bool { return e.Topic != topic })
}

func dialogs(evals []AnswerEvaluation, want func(score int) bool) []string {
	out := []string{}
	for _, e := range evals {
		if e.Score != nil && want(*e.Score) {
			out = append(out, e.DialogID)
		}
	}
	return out
}

func lower(have *int, v int) *int {
	if have == nil || v < *have {
		return &v
	}
	return have
}

func higher(have *int, v int) *int {
	if have == nil || v > *have {
		return &v
	}
	return have
}

// clip shortens a text for use inside a sentence.
func clip(s string) string {
	const limit = 80
	n := 0
	for i := range s {
		if n == limit {
			return s[:i] + "…"
		}
		n++
	}
	return s
}
