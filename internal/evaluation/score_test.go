package evaluation_test

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"evalq/internal/evaluation"
)

func dims(correctness, completeness, depth, clarity float64) []evaluation.Dimension {
	d := evaluation.Dimensions()
	for i, s := range []float64{correctness, completeness, depth, clarity} {
		d[i].Score, d[i].Assessed = s, s >= 0
	}
	return d
}

func TestGradeWeighsTheAssessedDimensions(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		dims   []evaluation.Dimension
		points []evaluation.Point
		want   int
		band   evaluation.Band
	}{
		{dims: dims(4, 4, 4, 4), want: 100, band: evaluation.BandStrong},
		{dims: dims(0, 0, 0, 0), want: 0, band: evaluation.BandNone},
		{dims: dims(4, 2, 0, 0), want: 60, band: evaluation.BandGood},
		{dims: dims(-1, 3, -1, -1), want: 75, band: evaluation.BandGood},
		{dims: dims(4, -1, -1, 0), want: 82, band: evaluation.BandStrong},
		{dims: dims(9, 4, 4, 4), want: 100, band: evaluation.BandStrong},
		{dims: dims(math.NaN(), 1, 1, 1), want: 25, band: evaluation.BandWeak},
		{dims: dims(4, 4, 4, 4), points: []evaluation.Point{{Status: evaluation.Contradicted}}, want: 78, band: evaluation.BandGood},
	} {
		e := evaluation.AnswerEvaluation{Dimensions: tc.dims, Points: tc.points}
		if math.IsNaN(tc.dims[0].Score) {
			e.Dimensions[0].Assessed = false
		}
		evaluation.Grade(&e)
		if e.Score == nil || *e.Score != tc.want || e.Band != tc.band {
			t.Errorf("%+v: score %v, band %q, want %d, %q", tc.dims, e.Score, e.Band, tc.want, tc.band)
		}
	}
}

func TestGradeGivesNoScoreWhenNothingWasAssessed(t *testing.T) {
	t.Parallel()
	e := evaluation.AnswerEvaluation{Score: new(int), Band: evaluation.BandStrong}
	evaluation.Grade(&e)
	if e.Score != nil || e.Band != "" || len(e.Dimensions) != 4 {
		t.Errorf("evaluation = %+v", e)
	}
}

func TestBandsMeetAtTheirEdges(t *testing.T) {
	t.Parallel()
	for score, want := range map[int]evaluation.Band{
		0: "none", 19: "none", 20: "weak", 39: "weak", 40: "partial", 59: "partial", 60: "good", 79: "good", 80: "strong", 100: "strong",
	} {
		if got := evaluation.BandOf(score); got != want {
			t.Errorf("band of %d is %q, want %q", score, got, want)
		}
	}
}

func drawDimensions(t *rapid.T) []evaluation.Dimension {
	d := evaluation.Dimensions()
	for i := range d {
		d[i].Score = rapid.Float64Range(-1, 6).Draw(t, d[i].Key)
		d[i].Assessed = rapid.Bool().Draw(t, d[i].Key+" assessed")
	}
	return d
}

func TestScoresStayInRangeAndGradingTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := evaluation.AnswerEvaluation{Dimensions: drawDimensions(t), Confidence: rapid.Float64().Draw(t, "confidence")}
		for range rapid.IntRange(0, 3).Draw(t, "points") {
			e.Points = append(e.Points, evaluation.Point{
				Credit: rapid.Float64().Draw(t, "credit"),
				Status: rapid.SampledFrom([]evaluation.Status{"covered", "missing", "contradicted"}).Draw(t, "status"),
			})
		}
		evaluation.Grade(&e)
		if e.Score != nil && (*e.Score < 0 || *e.Score > 100) || e.Confidence < 0 || e.Confidence > 1 {
			t.Fatalf("score %v, confidence %v", e.Score, e.Confidence)
		}
		again := e
		evaluation.Grade(&again)
		if diff := cmp.Diff(e, again); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestABetterDimensionNeverLowersTheScore(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		worse := evaluation.AnswerEvaluation{Dimensions: drawDimensions(t)}
		i := rapid.IntRange(0, 3).Draw(t, "dimension")
		worse.Dimensions[i].Assessed = true
		better := evaluation.AnswerEvaluation{Dimensions: append([]evaluation.Dimension{}, worse.Dimensions...)}
		better.Dimensions[i].Score += rapid.Float64Range(0, 4).Draw(t, "gain")
		evaluation.Grade(&worse)
		evaluation.Grade(&better)
		if *better.Score < *worse.Score {
			t.Fatalf("score fell from %d to %d", *worse.Score, *better.Score)
		}
	})
}
