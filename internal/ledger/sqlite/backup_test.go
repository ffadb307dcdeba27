package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"evalq/internal/ledger"
	"evalq/internal/ledger/migration"
	"evalq/internal/ledger/sqlite"
	"evalq/tasks"
)

// backup copies a ledger into a file.
func backup(t *testing.T, db *sqlite.DB) string {
	t.Helper()
	f, err := db.Backup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	path := filepath.Join(t.TempDir(), "copy.db")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, f); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func restore(t *testing.T, file, dir string) sqlite.Info {
	t.Helper()
	info, err := sqlite.Restore(t.Context(), file, dir, false, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func accept(t *testing.T, db *sqlite.DB, user, report int64) tasks.Job {
	t.Helper()
	j, _, err := db.Accept(t.Context(), tasks.Request{Payload: tasks.EvaluationReport{UserID: user, ReportID: report}}, "test")
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// files lists a folder with the size of each.
func files(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s %d", e.Name(), info.Size()))
	}
	return strings.Join(out, "\n")
}

func TestABackupIsOneMomentOfTheLedgerWhileWritesGoOn(t *testing.T) {
	t.Parallel()
	db := open(t, t.TempDir(), nil)
	defer db.Close()
	// Each write brings two jobs in one commit. Pair n is acknowledged once last
	// has passed it.
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var last atomic.Int64
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := int64(1); ctx.Err() == nil; n++ {
			pair := []tasks.Request{
				{Payload: tasks.EvaluationReport{UserID: 1, ReportID: n}}, {Payload: tasks.TopicEvaluation{UserID: 1, ReportID: n}},
			}
			if a := db.AcceptMany(ctx, pair, "test"); a[0].Err == nil && a[1].Err == nil {
				last.Store(n)
			}
		}
	})
	deadline, look := time.After(time.Minute), time.NewTicker(time.Millisecond)
	defer look.Stop()
	for last.Load() < 20 {
		select {
		case <-deadline:
			t.Fatal("nothing is written")
		case <-look.C:
		}
	}
	for range 5 {
		before := last.Load()
		file := backup(t, db)
		info, err := sqlite.Inspect(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Jobs%2 != 0 || int64(info.Jobs) < 2*before {
			t.Fatalf("the copy has %d jobs; %d were acknowledged before", info.Jobs, 2*before)
		}
		dir := t.TempDir()
		restore(t, file, dir)
		again := open(t, dir, nil)
		page, err := again.List(t.Context(), tasks.Filter{ReportID: int64(info.Jobs / 2)})
		if err != nil || len(page.Jobs) != 2 {
			t.Fatalf("of the newest pair there are %d, %v", len(page.Jobs), err)
		}
		again.Close()
	}
	stop()
	writer.Wait()
}

func TestARestoredLedgerIsTheOneThatWasCopied(t *testing.T) {
	t.Parallel()
	db := open(t, t.TempDir(), nil)
	job := accept(t, db, 7, 42)
	file := backup(t, db)
	accept(t, db, 7, 43)
	db.Close()
	dir := filepath.Join(t.TempDir(), "new")
	info := restore(t, file, dir)
	if info.Ledger != db.ID() || info.Jobs != 1 || !info.Newest.Equal(job.AcceptedAt) || info.Kept != "" {
		t.Fatalf("restored %+v", info)
	}
	if stat, err := os.Stat(filepath.Join(dir, "evalq.db")); err != nil || stat.Mode().Perm() != 0o600 {
		t.Fatalf("its mode is %v, %v", stat.Mode(), err)
	}
	if stat, err := os.Stat(dir); err != nil || stat.Mode().Perm() != 0o700 {
		t.Fatalf("the folder's mode is %v, %v", stat.Mode(), err)
	}
	again := open(t, dir, nil)
	defer again.Close()
	if _, err := again.Get(t.Context(), job.ID); err != nil {
		t.Fatal(err)
	}
	unknown, err := again.Unknown(t.Context(), []string{job.ID, "000000000000000000000000"})
	if err != nil || len(unknown) != 1 {
		t.Fatalf("unknown are %v, %v", unknown, err)
	}
	for _, want := range []bool{true, false} {
		if got, err := again.Restored(t.Context()); err != nil || got != want {
			t.Fatalf("restored: %v, %v, want %v", got, err, want)
		}
		if err := again.TookUp(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOneBackupAtATime(t *testing.T) {
	t.Parallel()
	db := open(t, t.TempDir(), nil)
	defer db.Close()
	end := db.StartCopy()
	if _, err := db.Backup(t.Context()); !errors.Is(err, ledger.ErrBackingUp) || !errors.Is(err, tasks.ErrConflict) {
		t.Fatalf("got %v", err)
	}
	end()
	backup(t, db)
}

func TestABackupLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := open(t, dir, nil)
	f, err := db.Backup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := db.Backup(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	db.Close()
	killed := filepath.Join(dir, "backup-1234.partial")
	if err := os.WriteFile(killed, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, dir, nil).Close()
	if got := files(t, dir); strings.Contains(got, "backup") {
		t.Fatalf("there is\n%s", got)
	}
}

// corrupt changes a file in place.
func corrupt(t *testing.T, path string, change func([]byte) []byte) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content = change(content)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return content
}

// damages are ways in which a file of a few hundred jobs is not as it was.
var damages = map[string]func([]byte) []byte{
	"half of it":                   func(b []byte) []byte { return b[:len(b)/2] },
	"without its last page":        func(b []byte) []byte { return b[:len(b)-4096] },
	"without half of a page":       func(b []byte) []byte { return b[:len(b)-2048] },
	"its first page alone":         func(b []byte) []byte { return b[:4096] },
	"a hundred bytes":              func(b []byte) []byte { return b[:100] },
	"garbage":                      func(b []byte) []byte { return bytes.Repeat([]byte("garbage!"), len(b)/8) },
	"a page of garbage in between": func(b []byte) []byte { copy(b[len(b)/2&^4095:], bytes.Repeat([]byte("garbage!"), 512)); return b },
	"a page of nothing in between": func(b []byte) []byte { copy(b[len(b)/2&^4095:], make([]byte, 4096)); return b },
	"a header of something else":   func(b []byte) []byte { copy(b, "SQLite format 4"); return b },
}

// filled puts a closed ledger of some hundred pages into a folder.
func filled(t *testing.T, dir string) {
	t.Helper()
	for name, content := range template() {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// template is what such a ledger leaves, by file.
var template = sync.OnceValue(func() map[string][]byte {
	dir, err := os.MkdirTemp("", "ledger")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	db, err := sqlite.Open(context.Background(), dir, nil)
	if err != nil {
		panic(err)
	}
	var rs []tasks.Request
	for n := range int64(400) {
		rs = append(rs, tasks.Request{Payload: tasks.EvaluationReport{UserID: n%7 + 1, ReportID: n + 1}})
	}
	for _, a := range db.AcceptMany(context.Background(), rs, "test") {
		err = errors.Join(err, a.Err)
	}
	if err := errors.Join(err, db.Close()); err != nil {
		panic(err)
	}
	out := map[string][]byte{}
	for _, name := range []string{"evalq.db", "evalq.lock"} {
		if out[name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			panic(err)
		}
	}
	return out
})

func TestADamagedLedgerIsRefusedWithTheCure(t *testing.T) {
	t.Parallel()
	for name, change := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			filled(t, dir)
			path := filepath.Join(dir, "evalq.db")
			left := corrupt(t, path, change)
			_, err := sqlite.Open(t.Context(), dir, nil)
			if !errors.Is(err, sqlite.ErrDamaged) || !strings.Contains(err.Error(), "evalq restore") || !strings.Contains(err.Error(), "evalq backup") {
				t.Fatalf("got %v", err)
			}
			if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, left) {
				t.Fatalf("the damaged file was changed: %v", err)
			}
		})
	}
}

func TestALedgerThatLostAllItsBytesIsNotTakenForANewOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	filled(t, dir)
	path := filepath.Join(dir, "evalq.db")
	corrupt(t, path, func([]byte) []byte { return nil })
	if _, err := sqlite.Open(t.Context(), dir, nil); !errors.Is(err, sqlite.ErrDamaged) {
		t.Fatalf("got %v", err)
	}
	// Who removes it means it.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	open(t, dir, nil).Close()
}

func TestAYoungLedgerWithoutItsLogIsNotTakenForANewOne(t *testing.T) {
	t.Parallel()
	dir, kept := t.TempDir(), t.TempDir()
	db := open(t, dir, nil)
	// As a crash leaves it: nothing has gone from the log into the file.
	if err := os.CopyFS(kept, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	db.Close()
	if err := os.Remove(filepath.Join(kept, "evalq.db-wal")); err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(filepath.Join(kept, "evalq.db-shm"))
	if _, err := sqlite.Open(t.Context(), kept, nil); !errors.Is(err, sqlite.ErrDamaged) {
		t.Fatalf("got %v", err)
	}
}

func TestALargeLedgerIsLookedAtByItsLengthAndEnds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	filled(t, dir)
	path := filepath.Join(dir, "evalq.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := sqlite.CheckEnds(t.Context(), db, path); err != nil {
		t.Fatal(err)
	}
	// A page behind the end that belongs to no table, as the filesystem may lose it.
	if err := os.Truncate(path, int64(4096*3)); err != nil {
		t.Fatal(err)
	}
	if err := sqlite.CheckEnds(t.Context(), db, path); err == nil {
		t.Fatal("a short file is in order")
	}
}

func TestAFileThatIsNoHealthyBackupIsNotRestored(t *testing.T) {
	t.Parallel()
	cases := map[string]func(t *testing.T, file string){
		"nothing":         func(t *testing.T, file string) { corrupt(t, file, func([]byte) []byte { return nil }) },
		"another program": func(t *testing.T, file string) { os.Remove(file); foreign(t, file) },
	}
	for name, change := range damages {
		cases[name] = func(t *testing.T, file string) { corrupt(t, file, change) }
	}
	for name, spoil := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, dir := t.TempDir(), t.TempDir()
			filled(t, source)
			file := filepath.Join(source, "evalq.db")
			spoil(t, file)
			open(t, dir, nil).Close()
			before := files(t, dir)
			if _, err := sqlite.Restore(t.Context(), file, dir, true, time.Now()); !errors.Is(err, sqlite.ErrUnfit) {
				t.Fatalf("got %v", err)
			}
			if _, err := sqlite.Inspect(t.Context(), file); !errors.Is(err, sqlite.ErrUnfit) {
				t.Fatalf("inspected: %v", err)
			}
			if now := files(t, dir); now != before {
				t.Fatalf("the folder had\n%s\nand has\n%s", before, now)
			}
			open(t, dir, nil).Close()
		})
	}
}

// foreign makes a database that is not a ledger.
func foreign(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`CREATE TABLE songs (title TEXT)`); err != nil {
		t.Fatal(err)
	}
}

func TestRestoreRefusesWhatItWouldDestroy(t *testing.T) {
	t.Parallel()
	source := open(t, t.TempDir(), nil)
	accept(t, source, 1, 1)
	file := backup(t, source)
	source.Close()
	dir := t.TempDir()
	db := open(t, dir, nil)
	job := accept(t, db, 7, 42)
	if _, err := sqlite.Restore(t.Context(), file, dir, true, time.Now()); !errors.Is(err, sqlite.ErrInUse) {
		t.Fatalf("into a folder in use: %v", err)
	}
	db.Close()
	if _, err := sqlite.Restore(t.Context(), file, dir, false, time.Now()); !errors.Is(err, sqlite.ErrOccupied) {
		t.Fatalf("over a ledger: %v", err)
	}
	db = open(t, dir, nil)
	defer db.Close()
	if _, err := db.Get(t.Context(), job.ID); err != nil {
		t.Fatal(err)
	}
	newer := t.TempDir()
	open(t, newer, nil).Close()
	raiseVersion(t, filepath.Join(newer, "evalq.db"))
	if _, err := sqlite.Restore(t.Context(), filepath.Join(newer, "evalq.db"), t.TempDir(), false, time.Now()); !errors.Is(err, migration.ErrNewer) {
		t.Fatalf("a newer one: %v", err)
	}
	if _, err := sqlite.Restore(t.Context(), filepath.Join(newer, "missing"), t.TempDir(), false, time.Now()); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("a missing one: %v", err)
	}
}

func TestRestoreWithForceKeepsTheLedgerThatWasThereAndItsLog(t *testing.T) {
	t.Parallel()
	source := open(t, t.TempDir(), nil)
	wanted := accept(t, source, 1, 1)
	file := backup(t, source)
	source.Close()
	// What a kill leaves: a log with the newest job in it.
	alive := t.TempDir()
	db := open(t, alive, nil)
	newest := accept(t, db, 7, 42)
	dir := t.TempDir()
	for _, name := range []string{"evalq.db", "evalq.db-wal"} {
		content, err := os.ReadFile(filepath.Join(alive, name))
		if err != nil || len(content) == 0 {
			t.Fatalf("%s has %d bytes, %v", name, len(content), err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	db.Close()
	info, err := sqlite.Restore(t.Context(), file, dir, true, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "evalq.db.before-20260102T030405Z"); info.Kept != want {
		t.Fatalf("kept as %q, want %q", info.Kept, want)
	}
	restored := open(t, dir, nil)
	defer restored.Close()
	if _, err := restored.Get(t.Context(), wanted.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := restored.Get(t.Context(), newest.ID); !errors.Is(err, tasks.ErrNotFound) {
		t.Fatalf("the old ledger's log was taken for the new one's: %v", err)
	}
	// The kept one can be put back in turn, with what was in its log.
	back := t.TempDir()
	restore(t, info.Kept, back)
	old := open(t, back, nil)
	defer old.Close()
	if _, err := old.Get(t.Context(), newest.ID); err != nil {
		t.Fatal(err)
	}
}
