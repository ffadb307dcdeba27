package sqlite_test

import (
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"evalq/internal/ledger/sqlite"
)

// execIn runs statements in a file that no process has open.
func execIn(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// changedSchemas are what somebody may have done to a ledger's file; the error names
// the part behind it.
var changedSchemas = map[string]struct {
	statements []string
	named      string
}{
	"a table more":            {[]string{`CREATE TABLE evalq_extra (a TEXT)`}, "evalq_extra"},
	"a table of another name": {[]string{`CREATE TABLE notes (a TEXT)`}, "notes"},
	"a table less":            {[]string{`DROP TABLE evalq_bridge`}, "evalq_bridge"},
	"a column more":           {[]string{`ALTER TABLE evalq_jobs ADD COLUMN note TEXT`}, "note"},
	"a column less":           {[]string{`ALTER TABLE evalq_jobs DROP COLUMN judge`}, "judge"},
	"a column of another name": {
		[]string{`ALTER TABLE evalq_audit RENAME COLUMN remote TO origin`}, "origin"},
	"a column that computes": {
		[]string{`ALTER TABLE evalq_meta ADD COLUMN x TEXT GENERATED ALWAYS AS (upper(value)) VIRTUAL`}, "upper"},
	"an index more": {[]string{`CREATE INDEX mine ON evalq_jobs (judge)`}, "mine"},
	"an index less": {[]string{`DROP INDEX evalq_jobs_user`}, "evalq_jobs_user"},
	"an index on other columns": {
		[]string{`DROP INDEX evalq_jobs_user`, `CREATE INDEX evalq_jobs_user ON evalq_jobs (user_id)`}, "evalq_jobs_user"},
	"an index that computes": {[]string{`CREATE INDEX mine ON evalq_jobs (hex(judge))`}, "mine"},
	"a trigger": {
		[]string{`CREATE TRIGGER forget AFTER INSERT ON evalq_results BEGIN DELETE FROM evalq_results; END`}, "forget"},
	"a view": {[]string{`CREATE VIEW everything AS SELECT * FROM evalq_interviews`}, "everything"},
	"a view in the place of a table": {
		[]string{`ALTER TABLE evalq_meta RENAME TO hidden`, `CREATE VIEW evalq_meta AS SELECT * FROM hidden`}, "evalq_meta"},
	"a view in the place of the versions": {
		[]string{`ALTER TABLE evalq_schema RENAME TO hidden`, `CREATE VIEW evalq_schema AS SELECT * FROM hidden`}, "evalq_schema"},
	"a virtual table": {[]string{`CREATE VIRTUAL TABLE search USING fts5(a)`}, "search"},
	"a default that was changed": {
		[]string{`PRAGMA writable_schema = ON`, `UPDATE sqlite_master SET sql = replace(sql, 'attempt         INTEGER NOT NULL DEFAULT 0', 'attempt         INTEGER NOT NULL DEFAULT 9') WHERE name = 'evalq_jobs'`}, "evalq_jobs"},
}

func TestALedgerWhoseSchemaEvalqDidNotMakeIsNeitherServedNorRestored(t *testing.T) {
	t.Parallel()
	for name, c := range changedSchemas {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			filled(t, dir)
			path := filepath.Join(dir, "evalq.db")
			execIn(t, path, c.statements...)

			_, err := sqlite.Open(t.Context(), dir, nil)
			if !errors.Is(err, sqlite.ErrForeignSchema) || !strings.Contains(err.Error(), c.named) || !strings.Contains(err.Error(), "evalq restore") {
				t.Errorf("a start gives %v", err)
			}
			if _, err := sqlite.Peek(t.Context(), dir); !errors.Is(err, sqlite.ErrForeignSchema) {
				t.Errorf("a look gives %v", err)
			}
			into := t.TempDir()
			_, err = sqlite.Restore(t.Context(), path, into, true, time.Now())
			if !errors.Is(err, sqlite.ErrUnfit) || !strings.Contains(err.Error(), c.named) {
				t.Errorf("a restore gives %v", err)
			}
			if _, err := os.Stat(filepath.Join(into, "evalq.db")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the file was put in place: %v", err)
			}
			if _, err := sqlite.Inspect(t.Context(), path); !errors.Is(err, sqlite.ErrUnfit) {
				t.Errorf("an inspection gives %v", err)
			}
		})
	}
}

func TestANameInABackupIsNeverRunAsSQL(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "outside.db")
	for _, prefix := range []string{"evalq_jobs", "evalq"} {
		dir := t.TempDir()
		filled(t, dir)
		path := filepath.Join(dir, "evalq.db")
		table := prefix + `; ATTACH '` + outside + `' AS o; CREATE TABLE o.t (a);--`
		execIn(t, path, `CREATE TABLE "`+table+`" (a)`)
		if _, err := sqlite.Open(t.Context(), dir, nil); !errors.Is(err, sqlite.ErrForeignSchema) {
			t.Errorf("a start gives %v", err)
		}
		if _, err := sqlite.Restore(t.Context(), path, t.TempDir(), true, time.Now()); !errors.Is(err, sqlite.ErrUnfit) {
			t.Errorf("a restore gives %v", err)
		}
		// The check that put names into queries, on its own.
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		if err := sqlite.CheckEnds(t.Context(), db, path); err != nil {
			t.Errorf("the check gives %v", err)
		}
		db.Close()
		if _, err := os.Stat(outside); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("a file was made outside the data folder: %v", err)
		}
	}
}

func TestALedgerThatANALYZEWentOverIsServed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	filled(t, dir)
	execIn(t, filepath.Join(dir, "evalq.db"), `ANALYZE`)
	open(t, dir, nil).Close()
}

func TestAForeignDatabaseInThePlaceOfTheLedgerIsRefusedAndLeftAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "evalq.db")
	foreign(t, path)
	if _, err := sqlite.Open(t.Context(), dir, nil); !errors.Is(err, sqlite.ErrForeignSchema) || !strings.Contains(err.Error(), "songs") {
		t.Fatalf("got %v", err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n int
	if err := db.QueryRow(`SELECT count(*) FROM sqlite_master`).Scan(&n); err != nil || n != 1 {
		t.Fatalf("it has %d tables, %v", n, err)
	}
}

func TestRestoreReadsNoMoreThanARegularFileHolds(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	pipe, link := filepath.Join(folder, "pipe"), filepath.Join(folder, "link")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.Symlink("/dev/zero", link)); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"/dev/zero", "/dev/urandom", pipe, link, folder} {
		dir := t.TempDir()
		if _, err := sqlite.Restore(t.Context(), file, dir, true, time.Now()); !errors.Is(err, sqlite.ErrUnfit) {
			t.Errorf("%s gives %v", file, err)
		}
		if left := files(t, dir); strings.Contains(left, "restore") || strings.Contains(left, "evalq.db ") {
			t.Errorf("%s leaves\n%s", file, left)
		}
	}
}

func TestRestoreRefusesAFileThatTheDiskHasNoRoomFor(t *testing.T) {
	t.Parallel()
	source, dir := t.TempDir(), t.TempDir()
	filled(t, source)
	file := filepath.Join(source, "evalq.db")
	if err := os.Truncate(file, 1<<43); err != nil { // 8 TB without content
		t.Fatal(err)
	}
	_, err := sqlite.Restore(t.Context(), file, dir, true, time.Now())
	if err == nil || !strings.Contains(err.Error(), "make room") {
		t.Fatalf("got %v", err)
	}
	if left := files(t, dir); strings.Contains(left, "restore") {
		t.Fatalf("it leaves\n%s", left)
	}
}

func TestTheLogBesideABackupIsCheckedToo(t *testing.T) {
	t.Parallel()
	source, dir := t.TempDir(), t.TempDir()
	filled(t, source)
	file := filepath.Join(source, "evalq.db")
	if err := os.Symlink("/dev/zero", file+"-wal"); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Restore(t.Context(), file, dir, true, time.Now()); !errors.Is(err, sqlite.ErrUnfit) {
		t.Fatalf("got %v", err)
	}
}

func TestALedgerOfEachEarlierVersionIsBroughtUpToDate(t *testing.T) {
	t.Parallel()
	newest := int64(1)
	for version := int64(0); version <= newest; version++ {
		dir := t.TempDir()
		newest = sqlite.OlderLedger(t, filepath.Join(dir, "evalq.db"), version)
		open(t, dir, nil).Close()
		open(t, dir, nil).Close()
	}
}
