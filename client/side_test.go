package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"evalq/client"
	"evalq/internal/api"
	"evalq/internal/ledger"
	"evalq/tasks"
)

// sideWorld is a ledger, seen by a client and by its server.
type sideWorld struct {
	*client.Client
	server *ledger.Ledger
	url    string
	who    string // names the client in a job's history
}

// overHTTP serves a ledger and gives a client of the server.
func overHTTP(t *testing.T, l *ledger.Ledger) *client.Client {
	t.Helper()
	rest, err := api.New(l, &api.Config{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(rest)
	t.Cleanup(s.Close)
	return open(t, s.URL, nil)
}

// overEach runs a test for each kind of URL that reaches a ledger.
func overEach(t *testing.T, test func(t *testing.T, w sideWorld)) {
	t.Parallel()
	t.Run("http", func(t *testing.T) {
		t.Parallel()
		l, url := postgresql.served(t)
		test(t, sideWorld{overHTTP(t, l), l, url, "api"})
	})
	for name, d := range map[string]database{"postgres": postgresql, "mysql": mariadb} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, url := d.served(t)
			test(t, sideWorld{open(t, url, &client.Config{Name: "shop"}), l, url, "client:shop"})
		})
	}
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestSubmittingAndReadingAreTheSameOverEachURL(t *testing.T) {
	overEach(t, func(t *testing.T, w sideWorld) {
		ctx := t.Context()
		const user, id = 9223372036854775807, 9007199254740993
		p := tasks.EvaluationReport{UserID: user, ReportID: id}
		job := must(w.Submit(ctx, p, client.WithPriority(tasks.Low)))(t)
		again := must(w.Submit(ctx, p, client.WithPriority(tasks.Low)))(t)
		got := must(w.Get(ctx, job.ID))(t)
		found := must(w.Find(ctx, p.Kind(), user, id))(t)
		for _, j := range []tasks.Job{again, got, found} {
			if diff := cmp.Diff(job, j); diff != "" {
				t.Error(diff)
			}
		}
		if job.ID == "" || job.UserID != user || job.ReportID != id || job.Priority != tasks.Low || job.State != tasks.Accepted {
			t.Errorf("%+v", job)
		}
		out := must(w.SubmitMany(ctx, []tasks.Request{
			{Payload: p, Priority: tasks.Low}, {Payload: tasks.TopicEvaluation{}}, {Payload: tasks.Custom{Name: "own", UserID: 1, ReportID: 2, Data: json.RawMessage(`{"n":12345678901234567890}`)}}, {},
		}))(t)
		var invalid *tasks.InvalidError
		if len(out) != 4 || out[0].Job.ID != job.ID || out[0].Created || !errors.As(out[1].Err, &invalid) || !out[2].Created || !errors.As(out[3].Err, &invalid) {
			t.Errorf("%+v", out)
		}
		page := must(w.List(ctx, tasks.Filter{Limit: 1}))(t)
		if len(page.Jobs) != 1 || page.Next == "" || page.Jobs[0].Data != nil {
			t.Errorf("%+v", page)
		}
		if own := must(w.Get(ctx, out[2].Job.ID))(t); string(own.Data) != `{"n":12345678901234567890}` {
			t.Errorf("%s", own.Data)
		}
		var ids []string
		for j, err := range w.All(ctx, tasks.Filter{Limit: 1}) {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, j.ID)
		}
		if want := []string{out[2].Job.ID, job.ID}; !slices.Equal(ids, want) {
			t.Errorf("%q, want %q", ids, want)
		}
		events := must(w.Events(ctx, job.ID))(t)
		if len(events) != 1 || events[0].Who != w.who || events[0].To != tasks.Accepted {
			t.Errorf("%+v", events)
		}
		if attempts := must(w.Attempts(ctx, job.ID))(t); len(attempts) != 0 {
			t.Errorf("%+v", attempts)
		}
	})
}

func TestActingIsTheSameOverEachURL(t *testing.T) {
	overEach(t, func(t *testing.T, w sideWorld) {
		ctx := t.Context()
		job := must(w.Submit(ctx, report(1)))(t)
		if j := must(w.Cancel(ctx, job.ID, "no need"))(t); j.State != tasks.Cancelled {
			t.Errorf("%+v", j)
		}
		if j := must(w.Cancel(ctx, job.ID, ""))(t); j.State != tasks.Cancelled {
			t.Errorf("%+v", j)
		}
		if j := must(w.Submit(ctx, report(1)))(t); j.State != tasks.Cancelled {
			t.Errorf("%+v", j)
		}
		if j := must(w.Retry(ctx, job.ID, "after all"))(t); j.State != tasks.Accepted || j.Run != 2 {
			t.Errorf("%+v", j)
		}
		if err := finish(ctx, w.server, job.ID); err != nil {
			t.Fatal(err)
		}
		for what, act := range map[string]func(context.Context, string, string) (tasks.Job, error){
			"retry": func(ctx context.Context, id, why string) (tasks.Job, error) { return w.Retry(ctx, id, why) }, "cancel": w.Cancel,
		} {
			if _, err := act(ctx, job.ID, ""); !errors.Is(err, tasks.ErrConflict) || !strings.Contains(err.Error(), "succeeded") {
				t.Errorf("%s: %v", what, err)
			}
		}
		events := must(w.Events(ctx, job.ID))(t)
		var said []string
		for _, e := range events {
			if e.Who == w.who {
				said = append(said, string(e.To)+" "+e.Why)
			}
		}
		if want := []string{"accepted submitted", "cancelled no need", "accepted run by hand: after all"}; !slices.Equal(said, want) {
			t.Errorf("%q, want %q", said, want)
		}
	})
}

func TestASecondSubmissionBringsTheJobForwardOverEachURL(t *testing.T) {
	overEach(t, func(t *testing.T, w sideWorld) {
		ctx := t.Context()
		tomorrow := client.At(time.Now().Add(24 * time.Hour))
		first := must(w.Submit(ctx, report(1), client.WithPriority(tasks.Low), tomorrow))(t)
		again := must(w.Submit(ctx, report(1), client.WithPriority(tasks.Critical)))(t)
		if again.ID != first.ID || again.Priority != tasks.Critical || !again.DueAt.IsZero() || !slices.Equal(again.Changed, []string{tasks.ChangedRunAt, tasks.ChangedPriority}) {
			t.Errorf("%+v", again)
		}
		if got := must(w.Get(ctx, first.ID))(t); got.Priority != tasks.Critical || !got.DueAt.IsZero() || got.Changed != nil {
			t.Errorf("%+v", got)
		}
		low := tasks.Request{Payload: report(2), Priority: tasks.Low}
		out := must(w.SubmitMany(ctx, []tasks.Request{low, {Payload: report(2)}, {Payload: report(1), Priority: tasks.Low}}))(t)
		if !out[0].Created || out[1].Created || !slices.Equal(out[1].Job.Changed, []string{tasks.ChangedPriority}) || out[2].Job.Changed != nil || out[2].Job.Priority != tasks.Critical {
			t.Errorf("%+v", out)
		}
	})
}

func TestAJobIsEvaluatedAnewOrWithoutItsStepsOverEachURL(t *testing.T) {
	overEach(t, func(t *testing.T, w sideWorld) {
		ctx := t.Context()
		old := must(w.Submit(ctx, report(1)))(t)
		if _, err := w.Retry(ctx, old.ID, "", client.EvaluateAnew()); !errors.Is(err, tasks.ErrConflict) || !strings.Contains(err.Error(), "accepted") {
			t.Errorf("while it waits: %v", err)
		}
		if err := finish(ctx, w.server, old.ID); err != nil {
			t.Fatal(err)
		}
		next := must(w.Retry(ctx, old.ID, "the judge has changed", client.EvaluateAnew()))(t)
		again := must(w.Retry(ctx, old.ID, "", client.EvaluateAnew()))(t)
		if next.ID == old.ID || next.Revision != 2 || next.State != tasks.Accepted || next.StepsSince.IsZero() || again.ID != next.ID {
			t.Errorf("%+v, then %+v", next, again)
		}
		if events := must(w.Events(ctx, next.ID))(t); len(events) != 1 || events[0].Why != "evaluated anew: the judge has changed" || events[0].Who != w.who {
			t.Errorf("%+v", events)
		}
		if _, err := w.server.Archive(ctx, next.ID, "test", ""); err != nil {
			t.Fatal(err)
		}
		revived := must(w.Retry(ctx, next.ID, "", client.DropSteps()))(t)
		if revived.ID != next.ID || revived.State != tasks.Accepted || revived.Run != 2 || !revived.StepsSince.After(next.StepsSince) {
			t.Errorf("%+v", revived)
		}
	})
}

func TestWaitGivesTheJobWithItsResultOverEachURL(t *testing.T) {
	overEach(t, func(t *testing.T, w sideWorld) {
		job := must(w.Submit(t.Context(), report(1)))(t)
		waited := make(chan outcome, 1)
		go func() {
			j, err := w.Wait(t.Context(), job.ID)
			waited <- outcome{j, err}
		}()
		if err := finish(t.Context(), w.server, job.ID); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-waited:
			if got.err != nil || got.job.State != tasks.Succeeded || string(got.job.Result) != `{"schema":"report/1","overall":71}` {
				t.Errorf("%+v %v", got.job, got.err)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("it waits for ever")
		}
		if list := must(w.Attempts(t.Context(), job.ID))(t); len(list) != 1 || list[0].Outcome != "succeeded" {
			t.Errorf("%+v", list)
		}
	})
}

func TestWaitGivesTheJobAsItWasWhenItsContextEndsOverEachURL(t *testing.T) {
	overEach(t, func(t *testing.T, w sideWorld) {
		job := must(w.Submit(t.Context(), report(1)))(t)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		got, err := w.Wait(ctx, job.ID)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if w.who != "api" && got.ID != job.ID { // over HTTP it is seen at the end of a poll
			t.Errorf("%+v", got)
		}
	})
}

func TestAnInterviewIsStoredByTheSameRulesOverEachURL(t *testing.T) {
	overEach(t, func(t *testing.T, w sideWorld) {
		ctx := t.Context()
		doc := func(text string) json.RawMessage { return json.RawMessage(text) }
		const good = `{"user_id":7,"answers":[{"question":"What is a slice?","answer":"a view"}]}`
		for i, want := range []bool{true, false} {
			if changed := must(w.PutInterview(ctx, 1, doc(good)))(t); changed != want {
				t.Errorf("time %d: changed %t", i, changed)
			}
		}
		if _, err := w.PutInterview(ctx, 1, doc(strings.Replace(good, "7", "8", 1))); !errors.Is(err, tasks.ErrConflict) {
			t.Error(err)
		}
		for _, bad := range []string{
			`{"user_id":7}`, `{"user_id":7,"Answers":[]}`, `{"user_id":7,"report_id":2,"answers":[]}`, `[]`, `{`, ``, `{"user_id":"7","answers":[]}`,
			`{"user_id":7,"answers":[],"title":"\u0000"}`,
		} {
			var invalid *tasks.InvalidError
			if _, err := w.PutInterview(ctx, 1, doc(bad)); !errors.As(err, &invalid) {
				t.Errorf("%s: %v", bad, err)
			}
		}
	})
}

func TestWhatIsNotThereAndWhatIsNotValidAreToldTheSameOverEachURL(t *testing.T) {
	overEach(t, func(t *testing.T, w sideWorld) {
		ctx := t.Context()
		const none = "06azr8a0tmp4g2cqw9kx5e1v"
		for _, id := range []string{none, "x", "a\x00b", "../../x", ""} {
			for what, do := range map[string]func() error{
				"get":      func() error { _, err := w.Get(ctx, id); return err },
				"wait":     func() error { _, err := w.Wait(ctx, id); return err },
				"retry":    func() error { _, err := w.Retry(ctx, id, ""); return err },
				"cancel":   func() error { _, err := w.Cancel(ctx, id, ""); return err },
				"attempts": func() error { _, err := w.Attempts(ctx, id); return err },
				"events":   func() error { _, err := w.Events(ctx, id); return err },
				"find":     func() error { _, err := w.Find(ctx, tasks.KindTopicEvaluation, 1, 2); return err },
				"report":   func() error { _, err := w.Report(ctx, 5); return err },
			} {
				if id == "" && w.who == "api" {
					continue // that is the address of something else
				}
				if err := do(); !errors.Is(err, tasks.ErrNotFound) || !strings.HasPrefix(err.Error(), "client: "+what) {
					t.Errorf("%s %q: %v", what, id, err)
				}
			}
		}
		for what, do := range map[string]func() error{
			"submit": func() error { _, err := w.Submit(ctx, report(0)); return err },
			"find":   func() error { _, err := w.Find(ctx, "Bad kind", 1, 1); return err },
			"ids":    func() error { _, err := w.Find(ctx, tasks.KindTopicEvaluation, -1, 1); return err },
			"state":  func() error { _, err := w.List(ctx, tasks.Filter{State: "lost"}); return err },
			"cursor": func() error { _, err := w.List(ctx, tasks.Filter{Cursor: "\x00"}); return err },
			"why":    func() error { _, err := w.Cancel(ctx, none, strings.Repeat("é", 501)); return err },
			"nul":    func() error { _, err := w.Cancel(ctx, none, "\x00"); return err },
			"report": func() error { _, err := w.Report(ctx, 0); return err },
		} {
			var invalid *tasks.InvalidError
			if err := do(); !errors.As(err, &invalid) {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

func TestAReportIsTheSameDocumentFromTheLedgerAsOverHTTP(t *testing.T) {
	t.Parallel()
	for _, d := range []database{postgresql, mariadb} {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			l, url := d.served(t)
			ctx := t.Context()
			direct, rest := open(t, url, nil), overHTTP(t, l)
			if _, err := direct.PutInterview(ctx, 1, json.RawMessage(`{"user_id":7,"answers":[{"question":"q","answer":"a"}]}`)); err != nil {
				t.Fatal(err)
			}
			done := must(direct.Submit(ctx, report(1)))(t)
			if err := finish(ctx, l, done.ID); err != nil {
				t.Fatal(err)
			}
			dead := must(direct.Submit(ctx, tasks.TopicEvaluation{UserID: 7, ReportID: 1}))(t)
			if _, err := l.Archive(ctx, dead.ID, "test", ""); err != nil {
				t.Fatal(err)
			}
			got, want := must(direct.Report(ctx, 1))(t), must(rest.Report(ctx, 1))(t)
			if !bytes.Equal(bytes.TrimSpace(got), bytes.TrimSpace(want)) {
				t.Error(cmp.Diff(string(want), string(got)))
			}
			if text := string(got); !strings.Contains(text, `"overall":71`) || !strings.Contains(text, `"sentence"`) || strings.Count(text, done.ID) != 1 {
				t.Errorf("%s", text)
			}
		})
	}
}
