package rubric_test

import (
	"testing"

	"pgregory.net/rapid"

	"evalq/internal/evaluation"
	"evalq/internal/rubric"
)

// drawText mixes what people write with what breaks text handling.
func drawText(t *rapid.T, name string) string {
	parts := rapid.SliceOfN(rapid.OneOf(
		rapid.SampledFrom([]string{"写命令追加到文件末尾", "每秒", "everysec", "rewrite", "append-only", "。", ", ", "\n", "é", "ﬁ", "👩‍💻", "\xff", "한국", "①", "x86", "C++", "don’t"}),
		rapid.String(),
	), 0, 12).Draw(t, name)
	out := ""
	for _, p := range parts {
		out += p
	}
	return out
}

func TestEveryEvaluationKeepsItsBounds(t *testing.T) {
	t.Parallel()
	judge := rubric.New()
	rapid.Check(t, func(t *rapid.T) {
		a := aof
		a.Question = drawText(t, "question")
		a.Answer = drawText(t, "answer")
		a.Reference = drawText(t, "reference")
		if rapid.Bool().Draw(t, "prose") {
			a.KeyPoints = nil
		}
		e, err := judge.Judge(t.Context(), evaluation.Input{Language: rapid.SampledFrom([]string{"zh", "en"}).Draw(t, "language"), Answer: a})
		if err != nil {
			t.Fatal(err)
		}
		if e.Score != nil && (*e.Score < 0 || *e.Score > 100) || e.Confidence < 0 || e.Confidence > 1 {
			t.Fatalf("score %v, confidence %v", e.Score, e.Confidence)
		}
		if len(e.Strengths) > 3 || len(e.Weaknesses) > 3 || len(e.Suggestions) > 3 {
			t.Fatal("a list is too long")
		}
		runes := []rune(a.Answer)
		for _, p := range e.Points {
			if (p.Credit > 0) != (p.Evidence != nil) && p.Credit >= 0.001 {
				t.Fatalf("credit %v with evidence %v", p.Credit, p.Evidence)
			}
			if ev := p.Evidence; ev != nil && string(runes[ev.Start:ev.End]) != string([]rune(ev.Quote)) {
				t.Fatalf("quote %q is not at %d-%d", ev.Quote, ev.Start, ev.End)
			}
		}
	})
}

func TestSayingMoreNeverCoversLess(t *testing.T) {
	t.Parallel()
	judge := rubric.New()
	rapid.Check(t, func(t *rapid.T) {
		a := aof
		a.Answer = "它是这样的：" + drawText(t, "answer") + " 我补充一下"
		before, err := judge.Judge(t.Context(), evaluation.Input{Language: "zh", Answer: a})
		if err != nil {
			t.Fatal(err)
		}
		a.Answer += "，" + drawText(t, "more")
		after, err := judge.Judge(t.Context(), evaluation.Input{Language: "zh", Answer: a})
		if err != nil {
			t.Fatal(err)
		}
		if *after.Score < *before.Score {
			t.Fatalf("score fell from %d to %d", *before.Score, *after.Score)
		}
	})
}
