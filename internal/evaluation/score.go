package evaluation

import (
	"math"
)

// maxEntries bounds each list of an answer's evaluation.
const maxEntries = 3

// contradictedCap is the best correctness of an answer that contradicts a point.
const contradictedCap = 2

// dimensionWeights are in the order in which dimensions are shown. The numbers
// are a proposal, not a measurement.
var dimensionWeights = []struct {
	key    string
	weight float64
}{
	{Correctness, 0.45}, {Completeness, 0.30}, {Depth, 0.15}, {Clarity, 0.10},
}

// Dimensions gives the four dimensions in order, none of them assessed.
func Dimensions() []Dimension {
	out := make([]Dimension, len(dimensionWeights))
	for i, d := range dimensionWeights {
		out[i] = Dimension{Key: d.key, Max: MaxDimension, Weight: d.weight}
	}
	return out
}

// Grade computes what no judge may decide: it puts the dimensions in order with
// their weights, holds all numbers to their ranges, caps the correctness of an
// answer that contradicts a point, and derives score and band:
//
//	score = round(100 · Σ w·s/4 / Σ w), over the assessed dimensions
//
// Without an assessed dimension there is no score. Lists are cut to three
// entries. Grading twice changes nothing.
func Grade(e *AnswerEvaluation) {
	given := e.Dimensions
	e.Dimensions = Dimensions()
	for i := range e.Dimensions {
		d := &e.Dimensions[i]
		for _, g := range given {
			if g.Key == d.Key {
				d.Assessed, d.Reason = g.Assessed, g.Reason
				d.Score = clamp(g.Score, MaxDimension)
				break
			}
		}
		if !d.Assessed {
			d.Score = 0
		}
	}
	for i := range e.Points {
		p := &e.Points[i]
		p.Credit = clamp(p.Credit, 1)
		if p.Status == Contradicted {
			d := &e.Dimensions[0]
			d.Score = min(d.Score, contradictedCap)
		}
	}
	e.Confidence = clamp(e.Confidence, 1)
	e.Strengths, e.Weaknesses, e.Suggestions = first(e.Strengths), first(e.Weaknesses), first(e.Suggestions)
	e.Score, e.Band = score(e.Dimensions)
}

func score(dims []Dimension) (*int, Band) {
	sum, weights := 0.0, 0.0
	for _, d := range dims {
		if d.Assessed {
			sum += d.Weight * d.Score / MaxDimension
			weights += d.Weight
		}
	}
	if weights == 0 {
		return nil, ""
	}
	s := int(math.Round(100 * sum / weights))
	return &s, BandOf(s)
}

// BandOf names the band of a score.
func BandOf(score int) Band {
	switch {
	case score < 20:
		return BandNone
	case score < 40:
		return BandWeak
	case score < 60:
		return BandPartial
	case score < 80:
		return BandGood
	}
	return BandStrong
}

// importance is how much an answer counts in a report: a hard question counts
// up to twice as much as an easy one.
func importance(difficulty int) float64 {
	return 1 + 0.25*float64(min(max(difficulty, 1), maxDifficulty)-1)
}

func clamp(v, limit float64) float64 {
	if math.IsNaN(v) || v < 0 {
		return 0
	}
	return min(v, limit)
}

func first[T any](s []T) []T {
	if len(s) > maxEntries {
		return s[:maxEntries:maxEntries]
	}
	return s
}

// round keeps three decimals, so that stored numbers read well.
func round(v float64) float64 { return math.Round(v*1000) / 1000 }
