package sqlite_test

import (
	"bytes"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"evalq/internal/ledger"
	"evalq/internal/ledger/sqlite"
	"evalq/tasks"
)

func peek(t *testing.T, dir string) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Peek(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func closed(t *testing.T, db *sqlite.DB) {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// contents are the names in a folder.
func contents(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestPeekMakesNoLedger(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Join(dir, "none")} {
		if db, err := sqlite.Peek(t.Context(), d); !errors.Is(err, fs.ErrNotExist) || db != nil {
			t.Fatalf("%v, %v", db, err)
		}
	}
	if names := contents(t, dir); names != "" {
		t.Errorf("it made %s", names)
	}
}

func TestPeekOnlyReadsALedgerThatAServerOwns(t *testing.T) {
	t.Parallel()
	dir, ctx := t.TempDir(), t.Context()
	owner := open(t, dir, nil)
	defer owner.Close()
	if _, _, err := owner.Accept(ctx, tasks.Request{Payload: tasks.EvaluationReport{UserID: 7, ReportID: 42}}, "test"); err != nil {
		t.Fatal(err)
	}
	db := peek(t, dir)
	o, err := db.Overview(ctx)
	if err != nil || o.Count(tasks.Accepted) != 1 || !db.InUse || db.ID() != owner.ID() {
		t.Errorf("it sees %+v, %v; in use: %v", o, err, db.InUse)
	}
	if err := db.Ready(ctx); !errors.Is(err, tasks.ErrUnavailable) {
		t.Errorf("a write: %v", err)
	}
	closed(t, db)
	if err := owner.Ready(ctx); err != nil {
		t.Errorf("the owner cannot write any more: %v", err)
	}
}

func TestPeekGivesNobodyUpForLostAndKeepsNoServerOut(t *testing.T) {
	t.Parallel()
	dir, ctx := t.TempDir(), t.Context()
	first := open(t, dir, nil)
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
	if _, err := first.Begin(ctx, tasks.Delivery{Job: job.ID, Number: 1, Worker: "w1"}); err != nil {
		t.Fatal(err)
	}
	// As a kill leaves it, with the newest part in the log of writes.
	crashed := t.TempDir()
	for _, name := range []string{"evalq.db", "evalq.db-wal"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(crashed, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, first)

	db := peek(t, crashed)
	got, err := db.Get(ctx, job.ID)
	if err != nil || got.State != tasks.Running || db.InUse {
		t.Errorf("it sees %+v, %v; in use: %v", got, err, db.InUse)
	}
	if err := db.Ready(ctx); err != nil {
		t.Errorf("it cannot be written: %v", err)
	}
	if broken, err := db.QuickCheck(ctx); broken != "" || err != nil {
		t.Errorf("%s, %v", broken, err)
	}
	second := open(t, crashed, nil)
	defer second.Close()
	if second.Lost != 1 {
		t.Errorf("lost %d, want 1", second.Lost)
	}
	for _, ledger := range []*sqlite.DB{db, second, db} {
		if err := ledger.Ready(ctx); err != nil {
			t.Errorf("two that write are in each other's way: %v", err)
		}
	}
	closed(t, db)
	if err := second.Ready(ctx); err != nil {
		t.Error(err)
	}
}

func TestPeekLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	closed(t, open(t, dir, nil))
	db := peek(t, dir)
	if err := db.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	closed(t, db)
	if names := contents(t, dir); names != "evalq.db evalq.lock" {
		t.Errorf("it leaves %s", names)
	}
}

func TestPeekTellsAnotherSchema(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	closed(t, open(t, dir, nil))
	raiseVersion(t, filepath.Join(dir, "evalq.db"))
	db := peek(t, dir)
	defer db.Close()
	have, want, err := db.Schema(t.Context())
	if err != nil || have != 99 || want >= have || db.Ledger != nil {
		t.Errorf("schema %d, known %d, %v; ledger %v", have, want, err, db.Ledger)
	}
}

func TestADamagedFileIsCalledSo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	closed(t, open(t, dir, nil))
	path := filepath.Join(dir, "evalq.db")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(bytes.Repeat([]byte("no database "), 1000))
	if db, err := sqlite.Peek(t.Context(), dir); !errors.Is(err, sqlite.ErrDamaged) || db != nil {
		t.Errorf("no database: %v", err)
	}
	// The last page is that of a table or an index.
	torn := bytes.Clone(whole)
	copy(torn[len(torn)-4096:], bytes.Repeat([]byte{0xAA}, 4096))
	write(torn)
	db := peek(t, dir)
	broken, err := db.QuickCheck(t.Context())
	if broken == "" && !errors.Is(err, sqlite.ErrDamaged) {
		t.Errorf("a torn page: %q, %v", broken, err)
	}
	closed(t, db)
	write(whole[:len(whole)/2])
	if db, err := sqlite.Peek(t.Context(), dir); err == nil {
		broken, err := db.QuickCheck(t.Context())
		if broken == "" && !errors.Is(err, sqlite.ErrDamaged) {
			t.Errorf("a cut file: %q, %v", broken, err)
		}
		closed(t, db)
	} else if !errors.Is(err, sqlite.ErrDamaged) {
		t.Errorf("a cut file: %v", err)
	}
}

func TestPeekRefusesAFileThatLostTheLedgerThatWasInIt(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(path string) error{
		"all its bytes": func(path string) error { return os.Truncate(path, 0) },
		"all its tables": func(path string) error {
			if err := os.Truncate(path, 0); err != nil {
				return err
			}
			raw, err := sql.Open("sqlite", path)
			if err != nil {
				return err
			}
			_, err = raw.Exec(`CREATE TABLE other (n)`)
			return errors.Join(err, raw.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			db := open(t, dir, nil)
			id := db.ID()
			closed(t, db)
			if err := lose(filepath.Join(dir, "evalq.db")); err != nil {
				t.Fatal(err)
			}
			got, err := sqlite.Peek(t.Context(), dir)
			if !errors.Is(err, sqlite.ErrDamaged) || !strings.Contains(err.Error(), id) || got != nil {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestPeekOfAFileWithoutALedgerHasSchemaNull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	raw, err := sql.Open("sqlite", filepath.Join(dir, "evalq.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := raw.Exec(`CREATE TABLE other (n)`); err != nil {
		t.Fatal(err)
	}
	db := peek(t, dir)
	defer db.Close()
	have, _, err := db.Schema(t.Context())
	if err != nil || have != 0 || db.Ledger != nil {
		t.Errorf("schema %d, %v; ledger %v", have, err, db.Ledger)
	}
}
