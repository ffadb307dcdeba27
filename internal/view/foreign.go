package view

import (
	"encoding/json"
	"math"

	"evalq/tasks"
)

// foreign gives a result that a handler of the platform's own has made. Such a
// function returns the platform's form, but for a report's score, which only the
// stored row has: it is the mean of the dimensions. What is in another form, or
// has nothing in it, is nil; an empty report in its place would be a statement.
func foreign(kind tasks.Kind, result json.RawMessage) json.RawMessage {
	var r struct {
		Comment    string            `json:"comment"`
		Dimensions []json.RawMessage `json:"dimensions"`
		Score      *float64          `json:"score"`
		Records    []json.RawMessage `json:"records"`
	}
	if json.Unmarshal(result, &r) != nil {
		return nil
	}
	var out any
	switch {
	case kind == tasks.KindTopicEvaluation && len(r.Records) > 0:
		out = map[string]any{"records": r.Records}
	case kind == tasks.KindEvaluationReport && len(r.Dimensions) > 0:
		score := mean(r.Dimensions)
		if r.Score != nil {
			score = *r.Score
		}
		out = map[string]any{"comment": r.Comment, "dimensions": r.Dimensions, "score": score}
	default:
		return nil
	}
	body, err := json.Marshal(out)
	if err != nil {
		return nil
	}
	return body
}

// mean has two decimals, as the platform's column has.
func mean(dimensions []json.RawMessage) float64 {
	sum, n := 0.0, 0
	for _, d := range dimensions {
		var v struct {
			Score *float64 `json:"score"`
		}
		if json.Unmarshal(d, &v) == nil && v.Score != nil {
			sum += *v.Score
			n++
		}
	}
	if n == 0 {
		return 0
	}
	return math.Round(100*sum/float64(n)) / 100
}
