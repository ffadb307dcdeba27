package platform_test

import (
	"context"
	"math"
	"slices"
	"testing"
	"time"

	"evalq/internal/evaluation"
	"evalq/internal/platform/platformtest"
	"evalq/tasks"
)

// lacking reads all pages of a look.
func (w *world) lacking(look evaluation.Look) (out []evaluation.Lack, looked int) {
	w.Helper()
	if look.Limit == 0 {
		look.Limit = 100
	}
	for {
		b, err := w.Unevaluated(w.Context(), look)
		if err != nil {
			w.Fatal(err)
		}
		out, looked = append(out, b.Lacks...), looked+b.Looked
		if b.Next == 0 {
			return out, looked
		}
		look.After = b.Next
	}
}

func TestAnAnsweredInterviewLacksWhatThePlatformCannotShow(t *testing.T) {
	t.Parallel()
	each(t, func(w *world) {
		const whole, topics = tasks.KindEvaluationReport, tasks.KindTopicEvaluation
		both := []tasks.Kind{whole, topics}
		evaluated := func(report int64, comment, dimensions string, deleted int) {
			w.Exec(`INSERT INTO interview_evaluation (user_id, report_id, comment, score, dimensions, deleted) VALUES (7, ?, ?, 0, ?, ?)`, report, comment, dimensions, deleted)
		}
		recorded := func(report int64, records string, deleted int) {
			w.Exec(`INSERT INTO answer_report (user_id, report_id, records, deleted) VALUES (7, ?, ?, ?)`, report, records, deleted)
		}
		const something = `[{"order":1}]`
		want := map[int64][]tasks.Kind{}
		interview := func(id int64, lacks ...tasks.Kind) int64 {
			w.Record(id, 7, "pending", long)
			w.Say(7, id, "What is a slice?", "a view of an array")
			if len(lacks) > 0 {
				want[id] = lacks
			}
			return id
		}
		interview(1, both...)
		r := interview(2)
		evaluated(r, "fine", something, 0)
		recorded(r, something, 0)
		// The row of an answer that could not be read.
		r = interview(3, both...)
		evaluated(r, "", "[]", 0)
		recorded(r, "[]", 0)
		r = interview(4, both...)
		evaluated(r, " ", "null", 0)
		recorded(r, "null", 0)
		r = interview(5, both...)
		evaluated(r, "a score of nothing is 0, whatever the comment", "[]", 0)
		recorded(r, "{}", 0)
		r = interview(14, topics)
		evaluated(r, "", something, 0)
		r = interview(6, whole)
		recorded(r, something, 0)
		// The platform reads the lowest row, whatever is in a later one.
		r = interview(7, both...)
		evaluated(r, "", "[]", 0)
		evaluated(r, "fine", something, 0)
		recorded(r, "[]", 0)
		recorded(r, something, 0)
		// One that is deleted is not read.
		r = interview(8)
		evaluated(r, "", "[]", 1)
		evaluated(r, "", something, 0)
		recorded(r, "[]", 1)
		recorded(r, something, 0)
		r = interview(9, both...)
		evaluated(r, "fine", something, 1)
		recorded(r, something, 1)
		// Nothing was answered, or by somebody else.
		w.Record(10, 7, "completed", long)
		w.Record(11, 7, "completed", long)
		w.Say(7, 11, "What is a map?", nil)
		w.Say(7, 11, "What is a map?", " \t\n")
		w.Say(8, 11, "What is a map?", "planted")
		w.Say(7, 12, "without", "record")
		// A row that belongs to somebody else is no result of the owner.
		interview(13, both...)
		w.Exec(`INSERT INTO answer_report (user_id, report_id, records) VALUES (8, 13, ?)`, something)
		interview(math.MaxInt64, both...)

		got, looked := w.lacking(evaluation.Look{})
		for _, lack := range got {
			if lack.UserID != 7 || !slices.Equal(lack.Kinds, want[lack.ReportID]) {
				w.Errorf("interview %d lacks %v, want %v", lack.ReportID, lack.Kinds, want[lack.ReportID])
			}
		}
		if len(got) != len(want) || looked != 14 {
			w.Errorf("found %d of %d interviews, want %d of 14", len(got), looked, len(want))
		}
		for _, limit := range []int{1, 2, 14} {
			if again, n := w.lacking(evaluation.Look{Limit: limit}); n != looked || len(again) != len(got) {
				w.Errorf("pages of %d: found %d of %d", limit, len(again), n)
			}
		}
		if none, n := w.lacking(evaluation.Look{UserID: 8}); len(none) != 0 || n != 0 {
			w.Errorf("of another user: %v of %d", none, n)
		}
		unknown, err := w.Unknown(w.Context(), append(got, evaluation.Lack{ReportID: 12}))
		if err != nil || len(unknown) != 1 || unknown[0].ReportID != 12 {
			w.Errorf("without a record: %v, %v", unknown, err)
		}
	})
}

func TestTheAgeOfAnInterviewIsThatOfItsNewestAnswer(t *testing.T) {
	t.Parallel()
	each(t, func(w *world) {
		w.Record(42, 7, "completed", long)
		for _, said := range []struct {
			ago    time.Duration
			answer any
		}{{time.Hour, "first"}, {20 * time.Minute, "newest"}, {time.Minute, nil}} {
			w.Say(7, 42, "What is a slice?", said.answer)
			w.Exec(`UPDATE interview_dialogues SET created_at = ? ORDER BY id DESC LIMIT 1`, noon.Add(-said.ago).Truncate(time.Second).Format(time.DateTime))
		}
		got, _ := w.lacking(evaluation.Look{})
		if len(got) != 1 || got[0].Age.Round(time.Minute) != 20*time.Minute {
			w.Errorf("found %+v", got)
		}
	})
	w := newWorld(t, platformtest.ByProgram)
	w.Record(42, 7, "completed", long)
	w.Say(7, 42, "What is a slice?", "nobody knows when")
	if got, _ := w.lacking(evaluation.Look{}); len(got) != 1 || got[0].Age < 24*time.Hour {
		t.Errorf("found %+v", got)
	}
}

func TestALookAtADatabaseThatIsAwayHasTheClassStorage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, platformtest.ByProgram)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Unevaluated(ctx, evaluation.Look{Limit: 10}); tasks.ClassOf(err) != tasks.ClassStorage {
		t.Errorf("got %v", err)
	}
}
