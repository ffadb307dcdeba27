package client_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"evalq/client"
	"evalq/internal/ledger"
	"evalq/tasks"
)

func TestWhatIsSubmittedInATransactionExistsFromItsCommitOn(t *testing.T) {
	throughEach(t, usual, func(t *testing.T, s shop) {
		tx := s.begin()
		job, err := s.SubmitTx(s.ctx, tx, report(1), client.WithPriority(tasks.Critical))
		s.must(err)
		if job.ID == "" || job.State != tasks.Accepted || job.Revision != 1 || job.Priority != tasks.Critical {
			t.Errorf("%+v", job)
		}
		if s.find(1).ID != "" {
			t.Error("others see it before the commit")
		}
		s.must(tx.commit())
		got, err := s.Get(s.ctx, job.ID)
		s.must(err)
		if got.ID != job.ID || !got.AcceptedAt.Equal(job.AcceptedAt) || time.Since(got.AcceptedAt).Abs() > time.Minute {
			t.Errorf("%+v after %+v", got, job)
		}
		events, err := s.Events(s.ctx, job.ID)
		s.must(err)
		if len(events) != 1 || events[0].Who != "client:shop" || events[0].To != tasks.Accepted || events[0].Build == "" {
			t.Errorf("%+v", events)
		}
	})
}

func TestWhatIsRolledBackWasNeverSubmitted(t *testing.T) {
	throughEach(t, usual, func(t *testing.T, s shop) {
		dead, err := s.Submit(s.ctx, report(2))
		s.must(err)
		_, err = s.server.Archive(s.ctx, dead.ID, "test", "")
		s.must(err)
		tx := s.begin()
		lost, err := s.SubmitTx(s.ctx, tx, report(1))
		s.must(err)
		revived, err := s.SubmitTx(s.ctx, tx, report(2))
		s.must(err)
		if revived.ID != dead.ID || revived.State != tasks.Accepted || revived.Run != 2 {
			t.Errorf("%+v", revived)
		}
		s.must(tx.rollback())
		if j := s.find(1); j.ID != "" {
			t.Errorf("it is there: %+v", j)
		}
		if j := s.find(2); j.State != tasks.Dead || j.Run != 1 || j.Delivery != 1 {
			t.Errorf("a dead job was revived: %+v", j)
		}
		if _, err := s.Events(s.ctx, lost.ID); !errors.Is(err, tasks.ErrNotFound) {
			t.Errorf("its history: %v", err)
		}
		again, err := s.Submit(s.ctx, report(1))
		s.must(err)
		if again.ID == lost.ID || again.Revision != 1 {
			t.Errorf("%+v", again)
		}
	})
}

func TestTwoTransactionsWithOneKeyMakeOneJob(t *testing.T) {
	throughEach(t, levels, func(t *testing.T, s shop) {
		first, second := s.begin(), s.begin()
		job, err := s.SubmitTx(s.ctx, first, report(1))
		s.must(err)
		other := s.later(second, report(1))
		s.waits()
		s.must(first.commit())
		got := s.soon(other)
		if s.holds() {
			if !errors.Is(got.err, client.ErrTxConflict) {
				t.Fatalf("%+v %v", got.job, got.err)
			}
			s.must(second.rollback())
			second = s.begin() // as the error says: from its start
			got = s.soon(s.later(second, report(1)))
		}
		s.must(got.err)
		if got.job.ID != job.ID {
			t.Errorf("two jobs: %s and %s", job.ID, got.job.ID)
		}
		s.must(second.commit())
		page, err := s.List(s.ctx, tasks.Filter{})
		s.must(err)
		if len(page.Jobs) != 1 {
			t.Errorf("%d jobs", len(page.Jobs))
		}
	})
}

func TestATransactionTakesTheKeyThatAnotherGaveUp(t *testing.T) {
	throughEach(t, levels, func(t *testing.T, s shop) {
		first, second := s.begin(), s.begin()
		job, err := s.SubmitTx(s.ctx, first, report(1))
		s.must(err)
		other := s.later(second, report(1))
		s.waits()
		s.must(first.rollback())
		got := s.soon(other)
		s.must(got.err)
		s.must(second.commit())
		if j := s.find(1); j.ID != got.job.ID || j.ID == job.ID {
			t.Errorf("%+v, submitted %s and %s", j, job.ID, got.job.ID)
		}
	})
}

func TestASubmissionWaitsForATransactionWithItsKeyAndForNoOther(t *testing.T) {
	throughEach(t, levels, func(t *testing.T, s shop) {
		for _, id := range []int64{20, 30} {
			_, err := s.Submit(s.ctx, report(id))
			s.must(err)
		}
		tx := s.begin()
		for _, id := range []int64{10, 20, 40} {
			_, err := s.SubmitTx(s.ctx, tx, report(id))
			s.must(err)
		}
		// Neighbours of what the open transaction has made and has found.
		inTx, outside := []int64{9, 11, 19, 21, 30, 31, 39, 41}, []int64{8, 12, 18, 22, 38, 42}
		if s.locksReads() { // then only those of what was not there
			inTx, outside = []int64{9, 39, 41}, []int64{8, 38, 42}
		}
		beside := s.begin()
		for _, id := range inTx {
			s.must(s.soon(s.later(beside, report(id))).err)
		}
		s.must(beside.commit())
		for _, id := range outside {
			_, err := s.Submit(s.ctx, report(id))
			s.must(err)
		}
		submitted := make(chan outcome, 1)
		go func() {
			j, err := s.Submit(s.ctx, report(10))
			submitted <- outcome{j, err}
		}()
		// The server sees nothing wait: the submission is tried again and again.
		_, err := s.Submit(s.ctx, report(50))
		s.must(err)
		select {
		case got := <-submitted:
			t.Fatalf("answered before the transaction's end: %+v", got)
		default:
		}
		s.must(tx.commit())
		got := s.soon(submitted)
		s.must(got.err)
		if j := s.find(10); j.ID != got.job.ID {
			t.Errorf("%s and %s", j.ID, got.job.ID)
		}
	})
}

func TestOneTransactionSubmitsAKeyTwiceAndManyKeys(t *testing.T) {
	throughEach(t, usual, func(t *testing.T, s shop) {
		tx := s.begin()
		ids := map[string]bool{}
		for range 2 {
			for id := int64(1); id <= 5; id++ {
				j, err := s.SubmitTx(s.ctx, tx, report(id))
				s.must(err)
				ids[j.ID] = true
			}
		}
		own := tasks.Custom{Name: "own", UserID: 7, ReportID: 1, Data: json.RawMessage(`{"n":12345678901234567890}`)}
		j, err := s.SubmitTx(s.ctx, tx, own)
		s.must(err)
		own.Data = json.RawMessage(`{"n":2}`)
		next, err := s.SubmitTx(s.ctx, tx, own)
		s.must(err)
		if len(ids) != 5 || next.Revision != 2 {
			t.Errorf("%d jobs, revision %d", len(ids), next.Revision)
		}
		s.must(tx.commit())
		got, err := s.Get(s.ctx, j.ID)
		s.must(err)
		if string(got.Data) != `{"n":12345678901234567890}` {
			t.Errorf("data %s", got.Data)
		}
	})
}

func TestATransactionBringsAJobForward(t *testing.T) {
	throughEach(t, levels, func(t *testing.T, s shop) {
		first, err := s.Submit(s.ctx, report(1), client.WithPriority(tasks.Low), client.At(time.Now().Add(24*time.Hour)))
		s.must(err)
		tx := s.begin()
		j, err := s.SubmitTx(s.ctx, tx, report(1), client.WithPriority(tasks.Critical))
		s.must(err)
		if j.ID != first.ID || len(j.Changed) != 2 || j.Priority != tasks.Critical || !j.DueAt.IsZero() {
			t.Errorf("%+v", j)
		}
		if got := s.find(1); got.Priority != tasks.Low {
			t.Errorf("others see it before the commit: %+v", got)
		}
		s.must(tx.commit())
		if got := s.find(1); got.Priority != tasks.Critical || !got.DueAt.IsZero() {
			t.Errorf("%+v", got)
		}
		tx = s.begin()
		if j, err = s.SubmitTx(s.ctx, tx, report(1), client.WithPriority(tasks.Low)); err != nil || j.Changed != nil {
			t.Errorf("%+v, %v", j, err)
		}
		s.must(tx.commit())
		s.finish(first.ID)
	})
}

// finish brings a job of the server's to its end.
func (s shop) finish(id string) {
	s.t.Helper()
	s.must(finish(s.ctx, s.server, id))
}

func finish(ctx context.Context, l *ledger.Ledger, id string) error {
	if err := l.Join(ctx, tasks.Worker{ID: "w", Host: "h", Slots: 1}); err != nil {
		return err
	}
	for _, q := range tasks.Priorities() {
		if _, err := l.Feed(ctx, q, ledger.Window{PerUser: 100, Total: 1000}); err != nil {
			return err
		}
	}
	j, err := l.Get(ctx, id)
	if err != nil {
		return err
	}
	claim, err := l.Begin(ctx, tasks.Delivery{Job: id, Number: j.Delivery, Worker: "w"})
	if err != nil || claim.Outcome != tasks.Mine {
		return errors.Join(err, errors.New("not begun: "+string(claim.Outcome)))
	}
	return l.Complete(ctx, tasks.Fence{Job: id, Attempt: claim.Job.Attempt, Worker: "w"}, tasks.Finish{Result: json.RawMessage(`{"schema":"report/1","overall":71}`), Judge: "j/1"})
}

const interview = `{"user_id":7,"answers":[{"question":"What is a slice?","answer":"%","reference":"a view of an array"}]}`

func (s shop) put(id int64, answer string) {
	s.t.Helper()
	_, err := s.PutInterview(s.ctx, id, json.RawMessage(strings.Replace(interview, "%", answer, 1)))
	s.must(err)
}

func TestAnInterviewThatChangedWhileTheTransactionWasOpenStartsTheNextRevision(t *testing.T) {
	throughEach(t, levels, func(t *testing.T, s shop) {
		s.put(1, "a view")
		first, err := s.Submit(s.ctx, report(1))
		s.must(err)
		s.finish(first.ID)
		tx := s.begin()
		s.put(1, "a view of an array")
		next, err := s.SubmitTx(s.ctx, tx, report(1))
		s.must(err)
		same, err := s.SubmitTx(s.ctx, tx, report(1))
		s.must(err)
		s.must(tx.commit())
		if j := s.find(1); j.ID != next.ID || same.ID != next.ID || j.Revision != 2 || j.State != tasks.Accepted {
			t.Errorf("%+v", j)
		}
	})
}

func TestAJobThatHasChangedIsFoundOrIsAConflict(t *testing.T) {
	throughEach(t, levels, func(t *testing.T, s shop) {
		job, err := s.Submit(s.ctx, report(1))
		s.must(err)
		tx := s.begin()
		_, err = s.server.Archive(s.ctx, job.ID, "test", "")
		s.must(err)
		made, err := s.Submit(s.ctx, report(2))
		s.must(err)
		s.exec(tx, "CREATE TEMPORARY TABLE notes (n INT)")
		for id, want := range map[int64]tasks.Job{1: job, 2: made} {
			got, err := s.SubmitTx(s.ctx, tx, report(id))
			if s.holds() {
				if !errors.Is(err, client.ErrTxConflict) || errors.Is(err, tasks.ErrUnavailable) {
					t.Errorf("report %d: %v", id, err)
				}
				s.exec(tx, "INSERT INTO notes VALUES (1)") // it can be used, all the same
				continue
			}
			s.must(err)
			if got.ID != want.ID || got.State != tasks.Accepted {
				t.Errorf("report %d: %+v", id, got)
			}
		}
		s.must(tx.commit())
		want := tasks.Accepted
		if s.holds() {
			want = tasks.Dead
		}
		if j := s.find(1); j.State != want {
			t.Errorf("%+v", j)
		}
	})
}

func TestWhatFailsLeavesTheRestOfTheTransaction(t *testing.T) {
	throughEach(t, usual, func(t *testing.T, s shop) {
		db := handle(t, s.url)
		if _, err := db.ExecContext(s.ctx, "CREATE TABLE notes (n INT)"); err != nil {
			t.Fatal(err)
		}
		tx := s.begin()
		s.exec(tx, "INSERT INTO notes VALUES (1)")
		var invalid *tasks.InvalidError
		if _, err := s.SubmitTx(s.ctx, tx, report(0)); !errors.As(err, &invalid) {
			t.Error(err)
		}
		away, back := "SET LOCAL search_path TO nowhere", "SET LOCAL search_path TO public"
		if s.door.database.name == mariadb.name {
			away, back = "USE "+databaseOf(t, handle(t, s.door.fresh(t))), "USE "+databaseOf(t, db)
		}
		s.exec(tx, away)
		if _, err := s.SubmitTx(s.ctx, tx, report(1)); !errors.Is(err, client.ErrOtherDatabase) || errors.Is(err, tasks.ErrUnavailable) {
			t.Error(err)
		}
		s.exec(tx, back)
		s.exec(tx, "INSERT INTO notes VALUES (2)")
		job, err := s.SubmitTx(s.ctx, tx, report(1))
		s.must(err)
		s.must(tx.commit())
		if n := s.count(db, "notes"); n != 2 {
			t.Errorf("%d notes of 2", n)
		}
		if j := s.find(1); j.ID != job.ID {
			t.Errorf("%+v", j)
		}
	})
}

func databaseOf(t *testing.T, db *sql.DB) (name string) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), "SELECT database()").Scan(&name); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestTheTransactionOfAnotherDatabaseIsRefused(t *testing.T) {
	throughEach(t, usual, func(t *testing.T, s shop) {
		_, theirs := s.door.served(t)
		for what, url := range map[string]string{"another ledger": theirs, "no ledger": s.door.fresh(t)} {
			tx := s.door.begin(t, url, s.level)
			_, err := s.SubmitTx(s.ctx, tx, report(1))
			if !errors.Is(err, client.ErrOtherDatabase) {
				t.Errorf("%s: %v", what, err)
			}
			s.must(tx.commit())
		}
		if s.find(1).ID != "" {
			t.Error("it was submitted here")
		}
		there := open(t, theirs, nil)
		if _, err := there.Find(s.ctx, tasks.KindEvaluationReport, 7, 1); !errors.Is(err, tasks.ErrNotFound) {
			t.Errorf("there: %v", err)
		}
	})
}

func TestWhatIsNoTransactionIsRefusedAndNothingIsSubmitted(t *testing.T) {
	t.Parallel()
	for _, d := range []database{postgresql, mariadb} {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			_, url := d.served(t)
			c := open(t, url, nil)
			for what, tx := range map[string]client.Tx{"a pool": handle(t, url), "nothing": nil} {
				if _, err := c.SubmitTx(t.Context(), tx, report(1)); !errors.Is(err, client.ErrNoTransaction) || errors.Is(err, tasks.ErrUnavailable) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if _, err := c.Find(t.Context(), tasks.KindEvaluationReport, 7, 1); !errors.Is(err, tasks.ErrNotFound) {
				t.Error(err)
			}
		})
	}
}

func TestOnlyADatabasesURLTakesPartInATransaction(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]*client.Client{
		"http":  serve(t, nil, nil),
		"redis": redisServer(t).Client,
	} {
		if _, err := c.SubmitTx(t.Context(), nil, report(1)); !errors.Is(err, client.ErrNeedsDatabase) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestTransactionsThatBlockEachOtherAreToldToBeginAgain(t *testing.T) {
	throughEach(t, usual, func(t *testing.T, s shop) {
		first, second := s.begin(), s.begin()
		_, err := s.SubmitTx(s.ctx, first, report(1))
		s.must(err)
		_, err = s.SubmitTx(s.ctx, second, report(2))
		s.must(err)
		one := s.later(first, report(2))
		s.waits()
		two := s.later(second, report(1))
		conflicts := 0
		end := func(tx visit, got outcome) {
			if errors.Is(got.err, client.ErrTxConflict) {
				conflicts++
				s.must(tx.rollback())
				return
			}
			s.must(got.err)
			s.must(tx.commit())
		}
		select {
		case got := <-one:
			end(first, got)
			end(second, s.soon(two))
		case got := <-two:
			end(second, got)
			end(first, s.soon(one))
		case <-time.After(30 * time.Second):
			t.Fatal("they wait for ever")
		}
		if conflicts != 1 {
			t.Errorf("%d were told to begin again", conflicts)
		}
		page, err := s.List(s.ctx, tasks.Filter{})
		s.must(err)
		if len(page.Jobs) != 2 {
			t.Errorf("%d jobs", len(page.Jobs))
		}
	})
}

func TestWhoWaitsForAnotherTransactionEndsWithItsContext(t *testing.T) {
	throughEach(t, usual, func(t *testing.T, s shop) {
		first, second := s.begin(), s.begin()
		_, err := s.SubmitTx(s.ctx, first, report(1))
		s.must(err)
		ctx, cancel := context.WithCancel(s.ctx)
		waiting := s
		waiting.ctx = ctx
		other := waiting.later(second, report(1))
		s.waits()
		cancel()
		if got := s.soon(other); !errors.Is(got.err, context.Canceled) {
			t.Error(got.err)
		}
		_ = second.rollback() // which the driver may have done already
		s.must(first.commit())
		page, err := s.List(s.ctx, tasks.Filter{})
		s.must(err)
		if len(page.Jobs) != 1 {
			t.Errorf("%d jobs", len(page.Jobs))
		}
	})
}

// hot is a transaction whose driver panics.
type hot struct{ client.Tx }

func (h hot) QueryContext(context.Context, string, ...any) (*sql.Rows, error) { panic("ouch") }

func TestAPanicInATransactionIsAnErrorAndUndoesWhatWasBegun(t *testing.T) {
	t.Parallel()
	_, url := postgresql.served(t)
	c := open(t, url, nil)
	tx := beginSQL(t, url, sql.LevelDefault)
	if _, err := c.SubmitTx(t.Context(), hot{tx}, report(1)); err == nil || !strings.Contains(err.Error(), "ouch") {
		t.Error(err)
	}
	if _, err := c.SubmitTx(t.Context(), tx, report(1)); err != nil {
		t.Error(err)
	}
}
