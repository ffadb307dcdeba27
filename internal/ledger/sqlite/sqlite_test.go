package sqlite_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"evalq/internal/ledger"
	"evalq/internal/ledger/ledgertest"
	"evalq/internal/ledger/migration"
	"evalq/internal/ledger/sqlite"
	"evalq/tasks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, dir string, cfg *ledger.Config) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(context.Background(), dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func TestSQLitePassesTheLedgerSuite(t *testing.T) {
	t.Parallel()
	ledgertest.Run(t, func(t testing.TB, cfg *ledger.Config) *ledger.Ledger {
		db := open(t, t.TempDir(), cfg)
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
		return db.Ledger
	})
}

func TestAReopenedLedgerHasEverythingAndDeliversWhatRan(t *testing.T) {
	t.Parallel()
	dir, ctx := t.TempDir(), t.Context()
	first := open(t, dir, nil)
	id := first.ID()
	job, _, err := first.Accept(ctx, tasks.Request{Payload: tasks.EvaluationReport{UserID: 7, ReportID: 42}}, "test")
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Join(ctx, tasks.Worker{ID: "w1"}); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Feed(ctx, tasks.Default, ledger.Window{PerUser: 8, Total: 8}); err != nil {
		t.Fatal(err)
	}
	if c, err := first.Begin(ctx, tasks.Delivery{Job: job.ID, Number: 1, Worker: "w1"}); err != nil || c.Outcome != tasks.Mine {
		t.Fatalf("begin: %+v, %v", c, err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := open(t, dir, nil)
	defer second.Close()
	got, err := second.Get(ctx, job.ID)
	if err != nil || got.State != tasks.Accepted || got.Delivery != 2 || second.ID() != id || second.Lost != 1 {
		t.Fatalf("after reopening: %+v, %v; lost %d", got, err, second.Lost)
	}
}

func TestTheLedgersFilesAreTheOwnersAloneInAnOpenFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	db := open(t, dir, nil)
	defer db.Close()
	if err := db.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"evalq.db", "evalq.db-wal", "evalq.lock"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestAFolderInUseIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := open(t, dir, nil)
	if _, err := sqlite.Open(t.Context(), dir, nil); !errors.Is(err, sqlite.ErrInUse) {
		t.Fatalf("got %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir, nil).Close()
}

func TestAFolderThatCannotBeWrittenIsRefused(t *testing.T) {
	t.Parallel()
	blocker := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocker, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := sqlite.Open(t.Context(), filepath.Join(blocker, "data"), nil)
	if err == nil || !strings.Contains(err.Error(), "--data-dir") {
		t.Fatalf("got %v", err)
	}
}

func TestALedgerFromANewerVersionIsRefusedUntouched(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := open(t, dir, nil)
	db.Close()
	raiseVersion(t, filepath.Join(dir, "evalq.db"))
	if _, err := sqlite.Open(t.Context(), dir, nil); !errors.Is(err, migration.ErrNewer) {
		t.Fatalf("got %v", err)
	}
}

func TestAFolderNameWithOddCharactersWorks(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a b?c#d%e面试")
	db := open(t, dir, nil)
	defer db.Close()
	if _, err := os.Stat(filepath.Join(dir, "evalq.db")); err != nil {
		t.Fatal(err)
	}
}

func TestACallerWhoGivesUpDuringTheCommitLearnsThatTheOutcomeIsUnknown(t *testing.T) {
	t.Parallel()
	db := open(t, t.TempDir(), nil)
	defer db.Close()
	deadline := time.Now().Add(30 * time.Second)
	for n := int64(1); time.Now().Before(deadline); n++ {
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		_, _, err := db.Accept(ctx, tasks.Request{Payload: tasks.EvaluationReport{UserID: 1, ReportID: n}}, "test")
		if !errors.Is(err, tasks.ErrOutcomeUnknown) {
			continue
		}
		if _, created, err := db.Accept(t.Context(), tasks.Request{Payload: tasks.EvaluationReport{UserID: 1, ReportID: n}}, "test"); err != nil || created {
			t.Fatalf("asked again: created %v, %v; the commit had gone on", created, err)
		}
		return
	}
	t.Fatal("no call was ever cut off during its commit")
}

func TestClosedLedgerRefusesWrites(t *testing.T) {
	t.Parallel()
	db := open(t, t.TempDir(), nil)
	db.Close()
	_, _, err := db.Accept(t.Context(), tasks.Request{Payload: tasks.EvaluationReport{UserID: 1, ReportID: 1}}, "test")
	if !errors.Is(err, tasks.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
}

func TestALedgerOfOneProcessTakesNoPartInTransactionsOfOthers(t *testing.T) {
	t.Parallel()
	db := open(t, t.TempDir(), nil)
	defer db.Close()
	r := tasks.Request{Payload: tasks.EvaluationReport{UserID: 7, ReportID: 42}}
	if _, _, err := db.AcceptIn(t.Context(), nil, r, "test"); !errors.Is(err, ledger.ErrNeedsServer) {
		t.Error(err)
	}
}
