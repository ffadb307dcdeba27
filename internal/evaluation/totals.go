package evaluation

import "slices"

// total is what a report and a per-topic result have in common.
type total struct {
	evaluated   int
	confidence  float64
	needsReview bool
	limits      []string
	audit       Audit
}

func totals(in Interview, evals []AnswerEvaluation) total {
	var t total
	sum, weights := 0.0, 0.0
	for _, e := range evals {
		w := importance(e.Difficulty)
		weights += w
		if e.Score != nil {
			t.evaluated++
			sum += w * e.Confidence
		}
		t.needsReview = t.needsReview || e.NeedsReview || e.Score == nil
	}
	if weights > 0 {
		t.confidence = round(sum / weights)
	}
	t.limits = limits(in, evals, t.evaluated)
	t.audit = sumAudit(in, evals)
	return t
}

// sumAudit adds up what the answers cost. The cost is unknown as soon as one of
// them is.
func sumAudit(in Interview, evals []AnswerEvaluation) Audit {
	a := Audit{InputSHA256: in.Hash()}
	cost, known := int64(0), true
	judged := slices.DeleteFunc(slices.Clone(evals), func(e AnswerEvaluation) bool { return e.Has(FlagEmpty) })
	for i, e := range judged {
		if i == 0 {
			a.Evaluator, a.EvaluatorVersion = e.Audit.Evaluator, e.Audit.EvaluatorVersion
			a.Provider, a.Model = e.Audit.Provider, e.Audit.Model
			a.PromptVersion, a.PromptSHA256 = e.Audit.PromptVersion, e.Audit.PromptSHA256
			a.Temperature, a.Seed, a.Currency = e.Audit.Temperature, e.Audit.Seed, e.Audit.Currency
		}
		a.Samples += e.Audit.Samples
		a.RepairCalls += e.Audit.RepairCalls
		a.Tokens = a.Tokens.plus(e.Audit.Tokens)
		a.LatencyMS += e.Audit.LatencyMS
		if e.Audit.CostMicro == nil {
			known = false
		} else {
			cost += *e.Audit.CostMicro
		}
	}
	if known {
		a.CostMicro = &cost
	}
	return a
}

// limits says what the numbers leave out.
func limits(in Interview, evals []AnswerEvaluation, evaluated int) []string {
	w := wordsOf(in.Language)
	var out, bare, refused, blank, unsure []string
	assessed := map[string]bool{}
	for i, e := range evals {
		for _, d := range e.Dimensions {
			assessed[d.Key] = assessed[d.Key] || d.Assessed && !e.Has(FlagEmpty)
		}
		switch {
		case e.Score == nil && !in.Answers[i].Measurable():
			bare = append(bare, e.DialogID)
		case e.Score == nil:
			refused = append(refused, e.DialogID)
		case e.Has(FlagEmpty):
			blank = append(blank, e.DialogID)
		case e.NeedsReview:
			unsure = append(unsure, e.DialogID)
		}
	}
	if evaluated < len(evals) {
		out = append(out, w.evaluated(evaluated, len(evals)))
	}
	if len(bare) > 0 {
		out = append(out, w.bare(bare))
	}
	if len(refused) > 0 {
		out = append(out, w.refused(refused))
	}
	if len(blank) > 0 {
		out = append(out, w.blank(blank))
	}
	var not []string
	for _, d := range dimensionWeights {
		if !assessed[d.key] {
			not = append(not, w.dimensions[d.key])
		}
	}
	if len(not) > 0 {
		out = append(out, w.notAssessed(not))
	}
	if len(unsure) > 0 {
		out = append(out, w.unsure(unsure))
	}
	return append(out, w.advisory)
}
