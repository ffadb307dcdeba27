package cli

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"evalq/internal/config"
	"evalq/tasks"
)

func TestABackupIsRestoredAndServedAgain(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.run(t, "import", file(t, "i.json", interview(7, 42, "a view of an array"))).want(t, 0)
	j := w.run(t, "submit", "evaluation_report", "--user", "7", "--report", "42", "--wait", "--json").want(t, 0).job(t)
	path := filepath.Join(t.TempDir(), "copy.db")
	w.run(t, "backup", path).want(t, 0, path, "1 job, the newest of 20")
	if stat, err := os.Stat(path); err != nil || stat.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", stat.Mode(), err)
	}
	// One that is there is kept unless told otherwise.
	w.run(t, "backup", path).want(t, 2, "exists", "--force")
	var b copied
	w.run(t, "backup", path, "--force", "--json").want(t, 0).decode(t, &b)
	if b.Jobs != 1 || b.File != path || b.Bytes == 0 || b.Ledger == "" || b.Newest.IsZero() {
		t.Fatalf("%+v", b)
	}
	if left, err := filepath.Glob(path + "*"); err != nil || len(left) != 1 {
		t.Fatalf("there are %v, %v", left, err)
	}

	dir := filepath.Join(t.TempDir(), "data")
	run(t, []string{"EVALQ_LEDGER_URL=postgres://db/evalq"}, "", "restore", path, "--data-dir", dir).want(t, 2, "database server", "own tools")
	run(t, nil, "", "restore", path, "--data-dir", dir).want(t, 0, b.Ledger, "1 job", "start the server")
	again := start(t, func(c *config.Config) { c.DataDir = dir })
	if got := again.run(t, "get", j.ID, "--json").want(t, 0).job(t); got.State != tasks.Succeeded {
		t.Fatalf("restored as %+v", got)
	}
	run(t, nil, "", "restore", path, "--data-dir", dir).want(t, 1, "in use", "--data-dir")
}

func TestRestoreKeepsALedgerThatIsThere(t *testing.T) {
	t.Parallel()
	w := start(t)
	path := filepath.Join(t.TempDir(), "copy.db")
	w.run(t, "backup", path).want(t, 0)
	dir := t.TempDir()
	run(t, nil, "", "restore", path, "--data-dir", dir).want(t, 0)
	environ := []string{"EVALQ_DATA_DIR=" + dir, "EVALQ_LISTEN=nonsense"} // other settings do not matter
	run(t, environ, "", "restore", path).want(t, 1, "move it away", "--force")
	var b copied
	run(t, environ, "", "restore", path, "--force", "--json").want(t, 0).decode(t, &b)
	if _, err := os.Stat(b.Kept); err != nil || !strings.HasPrefix(b.Kept, filepath.Join(dir, "evalq.db.before-")) {
		t.Fatalf("%+v, %v", b, err)
	}
	run(t, environ, "", "restore", path+".missing").want(t, 2, "no such file")
	run(t, environ, "", "restore", file(t, "x.db", strings.Repeat("no ledger ", 1000)), "--force").want(t, 2, "not a healthy backup")
	run(t, environ, "", "restore").want(t, 2)
}

func TestABackupThatDoesNotArriveWholeLeavesWhatWasThere(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/vnd.sqlite3")
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write([]byte("SQLite format 3\x00"))
		},
		"not a ledger": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/vnd.sqlite3")
			_, _ = w.Write(make([]byte, 100_000))
		},
		"not from evalq": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(answer)
			defer s.Close()
			path := file(t, "copy.db", "the backup of yesterday")
			run(t, []string{"EVALQ_URL=" + s.URL}, "", "backup", path, "--force").want(t, 1)
			if left, err := filepath.Glob(path + "*"); err != nil || len(left) != 1 {
				t.Fatalf("there are %v, %v", left, err)
			}
			if content, err := os.ReadFile(path); err != nil || string(content) != "the backup of yesterday" {
				t.Fatalf("the file has %q, %v", content, err)
			}
		})
	}
	path := filepath.Join(t.TempDir(), "copy.db")
	run(t, []string{"EVALQ_URL=http://127.0.0.1:1"}, "", "backup", path).want(t, 5, "evalq serve")
	run(t, []string{"EVALQ_URL=http://127.0.0.1:1"}, "", "backup", filepath.Join(path, "x")).want(t, 2)
}

func TestPurgeCountsUntilItIsToldYes(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.run(t, "import", file(t, "i.json", interview(7, 42, "a view of an array"))).want(t, 0)
	j := w.run(t, "submit", "evaluation_report", "--user", "7", "--report", "42", "--wait", "--json").want(t, 0).job(t)
	w.run(t, "purge", "--before", "0s", "--dry-run").want(t, 0, "WOULD GO", "interviews")
	w.run(t, "purge", "--before", "0s").want(t, 2, "WOULD GO", "nothing was removed", "--yes")
	w.run(t, "purge", "--before", "90d", "--yes").want(t, 0, "REMOVED")
	w.run(t, "get", j.ID).want(t, 0)
	var got tasks.Removed
	w.run(t, "purge", "--before", "0s", "--yes", "--json").want(t, 0).decode(t, &got)
	if got.Jobs != 1 || got.Results != 1 || got.Interviews != 1 || !got.Done {
		t.Fatalf("%+v", got)
	}
	w.run(t, "get", j.ID).want(t, 3)
	w.run(t, "purge", "--yes", "--dry-run", "--before", "0s").want(t, 2)
	for _, bad := range []string{"", "soon", "2100-01-01", "-1h", "d", "-3d", "99999999d"} {
		w.run(t, "purge", "--before", bad, "--yes").want(t, 2, "--before")
	}
}

func TestEraseRemovesOneUserWhenItIsToldYes(t *testing.T) {
	t.Parallel()
	w := start(t)
	for _, user := range []string{largeUser, "8"} {
		w.run(t, "submit", "evaluation_report", "--user", user, "--report", "1", "--at", far).want(t, 0)
	}
	w.run(t, "erase", "--user", largeUser).want(t, 2, "WOULD GO", "--yes")
	var got tasks.Removed
	w.run(t, "erase", "--user", largeUser, "--yes", "--json").want(t, 0).decode(t, &got)
	if got.Jobs != 1 || !got.Done {
		t.Fatalf("%+v", got)
	}
	var list struct{ Jobs []tasks.Job }
	if err := json.Unmarshal([]byte(w.run(t, "list", "--json").want(t, 0).out), &list); err != nil || len(list.Jobs) != 1 || list.Jobs[0].UserID != 8 {
		t.Fatalf("%+v, %v", list, err)
	}
	w.run(t, "erase", "--yes").want(t, 2, "--user")
	w.run(t, "erase", "--user", "0", "--yes").want(t, 2, "--user")
}

func TestAViewerIsNotLetInToTheWholeLedger(t *testing.T) {
	t.Parallel()
	w := start(t, func(c *config.Config) { c.OperatorToken, c.ViewerToken = "operator1", "viewer111" })
	viewer := append([]string{"EVALQ_TOKEN=viewer111"}, w.environ...)
	path := filepath.Join(t.TempDir(), "copy.db")
	for _, args := range [][]string{{"backup", path}, {"purge", "--before", "1d", "--yes"}, {"erase", "--user", "7", "--dry-run"}} {
		run(t, viewer, "", args...).want(t, 6, "operator")
	}
	if _, err := os.Stat(path); err == nil {
		t.Fatal("a viewer has a backup")
	}
}

func TestTheAgesThatPurgeTakes(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"2026-01-01": "2026-01-01T00:00:00Z", "2026-01-31T08:00:00+01:00": "2026-01-31T07:00:00Z",
		"90d": "2025-12-01T12:00:00Z", "0d": "2026-03-01T12:00:00Z", "36h": "2026-02-28T00:00:00Z",
	} {
		if got, err := flagPast("--before", text, now); err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%s is %s, %v, want %s", text, got, err, want)
		}
	}
}
