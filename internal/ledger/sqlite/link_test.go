package sqlite_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"evalq/internal/folder"
	"evalq/internal/ledger/sqlite"
)

func TestALinkInThePlaceOfALedgersFileIsRefusedAndNotWrittenTo(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"evalq.lock", "evalq.db", "evalq.db-wal", "evalq.db-shm"} {
		dir, victim := t.TempDir(), filepath.Join(t.TempDir(), "victim")
		if err := errors.Join(os.WriteFile(victim, []byte("precious"), 0o644), os.Symlink(victim, filepath.Join(dir, name))); err != nil {
			t.Fatal(err)
		}
		db, err := sqlite.Open(t.Context(), dir, nil)
		if err == nil {
			db.Close()
		}
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is a link: %v", name, err)
		}
		info, serr := os.Stat(victim)
		if text, err := os.ReadFile(victim); string(text) != "precious" || serr != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("%s: what the link names is %q, %v, %v, %v", name, text, err, info, serr)
		}
	}
}

func TestAFolderThatOthersMayWriteInIsNeitherServedNorRestoredInto(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if db, err := sqlite.Open(t.Context(), dir, nil); !errors.Is(err, folder.ErrWritable) {
		if err == nil {
			db.Close()
		}
		t.Errorf("it was opened: %v", err)
	}
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.WriteFile(copied, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Restore(t.Context(), copied, dir, false, time.Now()); !errors.Is(err, folder.ErrWritable) {
		t.Errorf("it was restored into: %v", err)
	}
}

func TestARestorationFollowsNoLinkInThePlaceOfItsWorkingFile(t *testing.T) {
	t.Parallel()
	source := t.TempDir()
	db, err := sqlite.Open(t.Context(), source, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	dir, victim := t.TempDir(), filepath.Join(t.TempDir(), "victim")
	if err := errors.Join(os.WriteFile(victim, []byte("precious"), 0o600), os.Symlink(victim, filepath.Join(dir, "restore.partial"))); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Restore(t.Context(), filepath.Join(source, "evalq.db"), dir, false, time.Now()); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(victim); string(text) != "precious" {
		t.Errorf("what the link names is %q, %v", text, err)
	}
}
