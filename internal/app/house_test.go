package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"evalq/internal/config"
	"evalq/tasks"
)

// said is what a user has said in an interview.
const said = "a slice is what my cousin Ottokar calls a view of an underlying array with a length and a capacity"

func confided(user int64) string {
	return fmt.Sprintf(`{"user_id":%d,"language":"en","answers":[{"question":"What is a slice in Go?","answer":%q,"key_points":[{"text":"view of an underlying array"}]}]}`, user, said)
}

// audit is the audit log as text, oldest first.
func audit(t *testing.T, a *App) string {
	t.Helper()
	entries, err := a.ledger.AuditLog(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	var out string
	for _, e := range entries {
		out = fmt.Sprintf("%s %s %s: %s\n", e.Who, e.Action, e.Target, e.Detail) + out
	}
	return out
}

func TestAnErasedUserIsForgottenButForTheFact(t *testing.T) {
	t.Parallel()
	a := start(t, settings(t, nil), Extras{})
	var ids []string
	for user := int64(7); user <= 8; user++ {
		call(t, "PUT", fmt.Sprintf("%s/v1/interviews/%d", a.URL(), user), confided(user))
		for _, kind := range []string{"evaluation_report", "topic_evaluation"} {
			id := submit(t, a, fmt.Sprintf(`{"kind":%q,"user_id":%d,"report_id":%d}`, kind, user, user), 202)
			await(t, a, id, state("succeeded"))
			ids = append(ids, id)
		}
	}
	wait := submit(t, a, `{"kind":"evaluation_report","user_id":7,"report_id":70}`, 202) // for an interview
	await(t, a, wait, state("held"))
	ids = append(ids, wait)

	status, dry := call(t, "POST", a.URL()+"/v1/admin/erase", `{"user_id":7,"dry_run":true}`)
	if status != 200 || dry["jobs"] != json.Number("3") || dry["interviews"] != json.Number("1") || dry["results"] != json.Number("2") {
		t.Fatalf("dry run: %d %v", status, dry)
	}
	status, got := call(t, "POST", a.URL()+"/v1/admin/erase", `{"user_id":7}`)
	if status != 200 || got["jobs"] != dry["jobs"] || got["interviews"] != dry["interviews"] || got["tasks"] != dry["tasks"] || got["done"] != true {
		t.Fatalf("erased: %d %v; the dry run said %v", status, got, dry)
	}
	for i, id := range ids {
		want := 200
		if i < 2 || id == wait {
			want = 404
		}
		if status, job := call(t, "GET", a.URL()+"/v1/evaluations/"+id, ""); status != want {
			t.Fatalf("job %d: %d %v, want %d", i, status, job, want)
		}
	}
	for path, want := range map[string]int{"/v1/interviews/7": 404, "/v1/reports/7": 404, "/v1/interviews/8": 200, "/v1/reports/8": 200} {
		if status, body := call(t, "GET", a.URL()+path, ""); status != want {
			t.Fatalf("%s: %d %v", path, status, body)
		}
	}
	want := "api:local user.erase user 7: dry run\napi:local user.erase user 7: \napi:local user.erase user 7: done: 3 jobs, 1 interviews, "
	if log := audit(t, a); !strings.HasPrefix(log, want) || strings.Contains(log, "Ottokar") {
		t.Fatalf("the audit log:\n%s", log)
	}
	// The other user has said the same, so once that one is gone too, nothing is left.
	if n := mentions(t, a.cfg.DataDir, "Ottokar"); n == 0 {
		t.Fatal("the other user's answer is gone as well")
	}
	call(t, "POST", a.URL()+"/v1/admin/erase", `{"user_id":8}`)
	if n := mentions(t, a.cfg.DataDir, "Ottokar"); n != 0 {
		t.Fatalf("it is still in %d places of the data folder", n)
	}
}

// mentions counts a text in all files of a folder.
func mentions(t *testing.T, dir, text string) (n int) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		n += bytes.Count(content, []byte(text))
	}
	return n
}

func TestAPurgeTakesWhatIsOlderOverHTTP(t *testing.T) {
	t.Parallel()
	a := start(t, settings(t, nil), Extras{})
	call(t, "PUT", a.URL()+"/v1/interviews/42", slice)
	id := submit(t, a, `{"kind":"evaluation_report","user_id":7,"report_id":42}`, 202)
	await(t, a, id, state("succeeded"))
	old := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	if status, got := call(t, "POST", a.URL()+"/v1/admin/purge", `{"before":"`+old+`"}`); status != 200 || got["jobs"] != json.Number("0") || got["done"] != true {
		t.Fatalf("what is young: %d %v", status, got)
	}
	now := time.Now().UTC().Format(time.RFC3339Nano)
	status, got := call(t, "POST", a.URL()+"/v1/admin/purge", `{"before":"`+now+`"}`)
	if status != 200 || got["jobs"] != json.Number("1") || got["interviews"] != json.Number("1") {
		t.Fatalf("purged: %d %v", status, got)
	}
	if status, _ := call(t, "GET", a.URL()+"/v1/evaluations/"+id, ""); status != 404 {
		t.Fatalf("the job: %d", status)
	}
	if log := audit(t, a); !strings.Contains(log, "ledger.purge finished before "+old) || !strings.Contains(log, "done: 1 jobs") {
		t.Fatalf("the audit log:\n%s", log)
	}
}

func TestWhatConcernsTheWholeLedgerIsForOperators(t *testing.T) {
	t.Parallel()
	a := start(t, settings(t, func(c *config.Config) { c.OperatorToken, c.ViewerToken = "operator1", "viewer111" }), Extras{})
	ask := func(path, body, token string) (int, []byte) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "POST", a.URL()+"/v1/admin/"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		content, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, content
	}
	asks := map[string]string{"backup": "", "backfill": `{"dry_run":true}`, "purge": `{"before":"2026-01-01T00:00:00Z"}`, "erase": `{"user_id":7}`}
	for path, body := range asks {
		for token, want := range map[string]int{"": 401, "viewer111": 403} {
			if status, content := ask(path, body, token); status != want {
				t.Errorf("%s with %q: %d %s", path, token, status, content)
			}
		}
	}
	if log := audit(t, a); log != "" {
		t.Errorf("the audit log:\n%s", log)
	}
	for path, body := range asks {
		status, content := ask(path, body, "operator1")
		if status != 200 {
			t.Errorf("%s: %d %s", path, status, content)
		}
		if path == "backup" && !bytes.HasPrefix(content, []byte("SQLite format 3")) {
			t.Errorf("the backup begins with %.20q", content)
		}
	}
	for _, action := range []string{"ledger.backup ledger " + a.ledger.ID(), "ledger.purge", "user.erase", "ledger.backfill"} {
		if log := audit(t, a); !strings.Contains(log, "api:operator "+action) {
			t.Errorf("the audit log lacks %s:\n%s", action, log)
		}
	}
}

// unwritten is a ledger that cannot be written.
type unwritten struct{ keeper }

func (unwritten) ID() string                                    { return "x" }
func (unwritten) Audit(context.Context, tasks.AuditEntry) error { return tasks.ErrUnavailable }

func TestNothingIsRemovedCopiedOrSubmittedThatCannotBeAudited(t *testing.T) {
	t.Parallel()
	a := start(t, settings(t, nil), Extras{})
	call(t, "PUT", a.URL()+"/v1/interviews/42", slice)
	h := house{ledger: unwritten{}, filler: &filler{a.ledger.Ledger, nil, quiet()}, log: quiet()} // without a sweeper: one that is asked panics
	_, err1 := h.Purge(t.Context(), time.Now(), false, "ann")
	_, err2 := h.Erase(t.Context(), 7, false, "ann")
	_, _, err3 := h.Backup(t.Context(), "ann")
	_, err4 := h.Backfill(t.Context(), tasks.Backfill{DryRun: true}, "ann")
	_, err5 := h.Backfill(t.Context(), tasks.Backfill{}, "ann")
	_, err6 := h.Replay(t.Context(), 1, 0, 0, "ann") // without a quarantine, too
	err7 := h.Discard(t.Context(), 1, "ann")
	for _, err := range []error{err1, err2, err3, err4, err5, err6, err7} {
		if !errors.Is(err, tasks.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	}
	if page, err := a.ledger.List(t.Context(), tasks.Filter{}); err != nil || len(page.Jobs) != 0 {
		t.Errorf("submitted %+v, %v", page.Jobs, err)
	}
}
