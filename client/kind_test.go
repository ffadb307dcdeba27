package client_test

import (
	"errors"
	"strings"
	"testing"

	"evalq/client"
	"evalq/tasks"
)

const laterKind tasks.Kind = "later_kind"

// later asks for a job of a kind that no worker has announced.
func later(report int64) tasks.Custom {
	return tasks.Custom{Name: laterKind, UserID: 7, ReportID: report}
}

// wantUnknown wants an error to be that of a kind which the ledger does not know, in
// the words that every way in has for it.
func wantUnknown(t *testing.T, err error) {
	t.Helper()
	const words = "kind: unknown: no worker of this ledger has had a handler for it in the last 30 days. Known are evaluation_report, topic_evaluation, own. " +
		"When its worker is still to come, say that the kind is new (new_kind); its jobs then wait for that worker"
	var invalid *tasks.InvalidError
	if !errors.As(err, &invalid) || !strings.HasSuffix(err.Error(), words) {
		t.Errorf("an unknown kind: %v", err)
	}
}

func TestEveryWayInAcceptsAndRefusesTheSameKindsWithTheSameWords(t *testing.T) {
	overEach(t, func(t *testing.T, w sideWorld) {
		ctx := t.Context()
		_, err := w.Submit(ctx, later(1))
		wantUnknown(t, err)
		many, err := w.SubmitMany(ctx, []tasks.Request{
			{Payload: tasks.EvaluationReport{UserID: 7, ReportID: 1}}, {Payload: later(2)}, {Payload: later(3), NewKind: true},
		})
		if err != nil || many[0].Err != nil || many[2].Err != nil || many[2].Job.Kind != laterKind {
			t.Fatalf("%+v, %v", many, err)
		}
		wantUnknown(t, many[1].Err)
		if j, err := w.Submit(ctx, later(1), client.NewKind()); err != nil || j.State != tasks.Accepted {
			t.Fatalf("said to be new: %+v, %v", j, err)
		}
		if _, err := w.Submit(ctx, later(4)); err == nil {
			t.Error("that it was said to be new once makes it known")
		}
		if err := w.server.Join(ctx, tasks.Worker{ID: "w", Slots: 1, Kinds: []tasks.Kind{laterKind}}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Submit(ctx, later(4)); err != nil {
			t.Fatalf("a worker handles it: %v", err)
		}
		if err := w.server.Leave(ctx, "w"); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Submit(ctx, later(5)); err != nil {
			t.Fatalf("a worker handled it lately: %v", err)
		}
		if j, err := w.Find(ctx, laterKind, 7, 5); err != nil || j.ReportID != 5 {
			t.Fatalf("%+v, %v", j, err)
		}
	})
}

func TestATransactionGoesOnAfterAKindIsRefusedInIt(t *testing.T) {
	throughEach(t, usual, func(t *testing.T, s shop) {
		tx := s.begin()
		_, err := s.SubmitTx(s.ctx, tx, later(1))
		wantUnknown(t, err)
		_, err = s.SubmitTx(s.ctx, tx, later(2), client.NewKind())
		s.must(err)
		_, err = s.SubmitTx(s.ctx, tx, report(3))
		s.must(err)
		s.must(tx.commit())
		if _, err := s.Find(s.ctx, laterKind, 7, 1); !errors.Is(err, tasks.ErrNotFound) {
			t.Errorf("the refused job: %v", err)
		}
		if j, err := s.Find(s.ctx, laterKind, 7, 2); err != nil || j.State != tasks.Accepted {
			t.Errorf("the new kind's: %+v, %v", j, err)
		}
	})
}
