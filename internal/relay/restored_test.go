package relay

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"evalq/internal/ledger/sqlite"
	"evalq/tasks"
	"evalq/worker"
)

// back puts the ledger back to what it was in a copy.
func (w *world) back(file string) {
	w.t.Helper()
	w.must(w.ledger.Close())
	dir := w.t.TempDir()
	_, err := sqlite.Restore(w.t.Context(), file, dir, false, time.Now())
	w.must(err)
	w.ledger, err = sqlite.Open(context.Background(), dir, nil)
	w.must(err)
	w.t.Cleanup(func() { w.ledger.Close() })
}

func (w *world) backup() string {
	w.t.Helper()
	f, err := w.ledger.Backup(w.t.Context())
	w.must(err)
	defer f.Close()
	content, err := io.ReadAll(f)
	w.must(err)
	path := filepath.Join(w.t.TempDir(), "copy.db")
	w.must(os.WriteFile(path, content, 0o600))
	return path
}

// evaluate serves the built-in kinds: report 2 cannot be assessed.
func (w *world) evaluate() (stop func()) {
	w.t.Helper()
	h := func(_ context.Context, j tasks.Job) (json.RawMessage, error) {
		if j.ReportID == 2 {
			return nil, tasks.NewError(tasks.ClassNotAssessable, nil)
		}
		return json.RawMessage(`1`), nil
	}
	s, err := worker.New(w.rdb, w.ledger.Ledger, &worker.Config{
		Handlers: map[tasks.Kind]worker.Handler{tasks.KindEvaluationReport: h}, Slots: 4, DrainTimeout: 30 * time.Second, Logger: slog.New(w.log),
	})
	w.must(err)
	return w.background(s.Run)
}

func TestWhatWasSubmittedAfterABackupIsEvaluatedAfterItsRestoration(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ask := func(report int64) tasks.Job {
		return w.request(tasks.Request{Payload: tasks.EvaluationReport{UserID: 7, ReportID: report}})
	}
	stopRelay := w.run(usual)
	known := ask(100)
	w.awaitTask(known.TaskID(), "pending")
	file := w.backup()

	stopWorker := w.evaluate()
	for report, end := range map[int64]string{1: "completed", 2: "archived"} {
		w.awaitTask(ask(report).TaskID(), end)
	}
	w.await(known.ID, tasks.Succeeded)
	stopWorker()
	taken, waiting := ask(3), ask(4)
	for _, j := range []tasks.Job{taken, waiting} {
		w.awaitTask(j.TaskID(), "pending")
	}
	// A worker had one when it was killed.
	w.must(w.rdb.LRem(t.Context(), "asynq:{default}:pending", 0, taken.TaskID()).Err())
	w.must(w.rdb.LPush(t.Context(), "asynq:{default}:active", taken.TaskID()).Err())
	w.must(w.rdb.HSet(t.Context(), "asynq:{default}:t:"+taken.TaskID(), "state", "active").Err())
	stopRelay()

	w.back(file)
	if page, err := w.ledger.List(t.Context(), tasks.Filter{}); err != nil || len(page.Jobs) != 1 {
		t.Fatalf("the restored ledger has %d jobs, %v", len(page.Jobs), err)
	}
	w.run(usual)
	w.evaluate()
	for report, want := range map[int64]tasks.State{100: tasks.Succeeded, 1: tasks.Succeeded, 2: tasks.Dead, 3: tasks.Succeeded, 4: tasks.Succeeded} {
		w.eventually("job of a report ends again", func() bool {
			j, err := w.ledger.Find(t.Context(), tasks.KindEvaluationReport, 7, report)
			return err == nil && j.State == want
		})
	}
	w.eventually("restoration is settled", func() bool {
		restored, err := w.ledger.Restored(t.Context())
		return err == nil && !restored
	})
}

func TestARestoredLedgerWaitsForRedisToTakeUpWhatItForgot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := w.backup()
	stopRelay, stopWorker := w.run(usual), w.evaluate()
	w.awaitTask(w.request(tasks.Request{Payload: tasks.EvaluationReport{UserID: 7, ReportID: 1}}).TaskID(), "completed")
	stopWorker()
	stopRelay()
	w.back(file)
	w.must(w.rdb.Save(t.Context()).Err())
	w.redis.Stop()
	w.run(brisk)
	w.eventually("relay finds no Redis", func() bool { return w.log.count("relay duty failed") > 0 })
	w.redis.Restart()
	w.evaluate()
	w.eventually("forgotten job ends again", func() bool {
		j, err := w.ledger.Find(t.Context(), tasks.KindEvaluationReport, 7, 1)
		return err == nil && j.State == tasks.Succeeded
	})
}
