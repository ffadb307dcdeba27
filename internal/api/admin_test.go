package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"evalq/tasks"
)

// keeper is a House that remembers what it was asked.
type keeper struct {
	asked  []string
	answer tasks.Removed
	filled tasks.Backfilled
	copy   string
	cut    bool // the copy ends too early
	fail   error
	list   []tasks.Quarantined
}

func (k *keeper) Quarantine(_ context.Context, all bool, limit int) ([]tasks.Quarantined, int, error) {
	k.asked = append(k.asked, fmt.Sprintf("quarantine %v %d", all, limit))
	return k.list, len(k.list), k.fail
}

func (k *keeper) Replay(_ context.Context, id, user, report int64, who string) (tasks.Job, error) {
	k.asked = append(k.asked, fmt.Sprintf("replay %d as %d %d %s", id, user, report, who))
	return tasks.Job{ID: tasks.NewID(time.Now()), Kind: tasks.KindEvaluationReport, UserID: user, ReportID: report, State: tasks.Accepted}, k.fail
}

func (k *keeper) Discard(_ context.Context, id int64, who string) error {
	k.asked = append(k.asked, fmt.Sprintf("discard %d %s", id, who))
	return k.fail
}

func (k *keeper) Purge(_ context.Context, before time.Time, dry bool, who string) (tasks.Removed, error) {
	k.asked = append(k.asked, fmt.Sprintf("purge %s %v %s", before.Format(time.RFC3339), dry, who))
	return k.answer, k.fail
}

func (k *keeper) Erase(_ context.Context, user int64, dry bool, who string) (tasks.Removed, error) {
	k.asked = append(k.asked, fmt.Sprintf("erase %d %v %s", user, dry, who))
	return k.answer, k.fail
}

func (k *keeper) Backfill(_ context.Context, ask tasks.Backfill, who string) (tasks.Backfilled, error) {
	k.asked = append(k.asked, fmt.Sprintf("backfill %+v %s", ask, who))
	return k.filled, k.fail
}

func (k *keeper) Backup(_ context.Context, who string) (io.ReadCloser, int64, error) {
	k.asked = append(k.asked, "backup "+who)
	size := int64(len(k.copy))
	if k.cut {
		return io.NopCloser(io.MultiReader(strings.NewReader(k.copy[1:]), broken{})), size, nil
	}
	return io.NopCloser(strings.NewReader(k.copy)), size, k.fail
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("the disk is broken") }

func TestPurgeAndEraseSayWhatTheyRemoved(t *testing.T) {
	t.Parallel()
	k := &keeper{answer: tasks.Removed{Jobs: 3, Tasks: 2, Running: 1}}
	w := serve(t, Config{House: k, Who: func(context.Context) string { return "ann" }})
	var got tasks.Removed
	w.do(t, "POST", "/v1/admin/purge", `{"before":"2026-01-01T01:00:00+01:00","dry_run":true}`).want(t, 200).decode(t, &got)
	if got != k.answer {
		t.Errorf("answered %+v", got)
	}
	e := w.do(t, "POST", "/v1/admin/erase", `{"user_id":9223372036854775807}`).want(t, 200)
	if !strings.Contains(string(e.body), `"done":false`) {
		t.Errorf("answered %s", e.body)
	}
	want := []string{"purge 2026-01-01T00:00:00Z true ann", "erase 9223372036854775807 false ann"}
	if fmt.Sprint(k.asked) != fmt.Sprint(want) {
		t.Errorf("asked %q, want %q", k.asked, want)
	}
}

func TestWhatWouldRemoveTooMuchIsRefused(t *testing.T) {
	t.Parallel()
	k := &keeper{}
	w := serve(t, Config{House: k})
	for body, status := range map[string]int{
		`{}`: 422, `{"before":""}`: 422, `{"before":"2100-01-01T00:00:00Z"}`: 422, `{"before":"90d"}`: 422, `{"before":90}`: 422,
		`{"before":"2026-01-01T00:00:00Z","dry_run":"yes"}`: 422, `{"before":"2026-01-01T00:00:00Z","dryrun":true}`: 400,
		`{"before":"2026-01-01T00:00:00Z","before":"2026-01-02T00:00:00Z"}`: 400, `[]`: 400, `x`: 400,
	} {
		w.do(t, "POST", "/v1/admin/purge", body).want(t, status)
	}
	for body, status := range map[string]int{
		`{}`: 422, `{"user_id":0}`: 422, `{"user_id":"7"}`: 422, `{"user_id":7.5}`: 422, `{"user_id":null}`: 422, `{"user":7}`: 400, `{"user_id":7,"dry_run":1}`: 422,
	} {
		w.do(t, "POST", "/v1/admin/erase", body).want(t, status)
	}
	w.do(t, "GET", "/v1/admin/erase", "").want(t, 405)
	w.do(t, "POST", "/v1/admin/erase", `{"user_id":7}`, "Sec-Fetch-Site", "cross-site").want(t, 403)
	if len(k.asked) != 0 {
		t.Errorf("asked %q", k.asked)
	}
}

func TestABackupIsTheWholeFileOrNone(t *testing.T) {
	t.Parallel()
	k := &keeper{copy: strings.Repeat("ledger", 100_000)}
	w := serve(t, Config{House: k})
	e := w.do(t, "POST", "/v1/admin/backup", "").want(t, 200)
	if string(e.body) != k.copy || e.header.Get("Content-Type") != "application/vnd.sqlite3" || e.header.Get("Content-Length") != "600000" ||
		!strings.HasPrefix(e.header.Get("Content-Disposition"), `attachment; filename="evalq-`) {
		t.Errorf("%d bytes with %v", len(e.body), e.header)
	}
	k.cut = true
	r, err := http.NewRequestWithContext(t.Context(), "POST", w.url+"/v1/admin/backup", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Errorf("%d bytes passed for whole", n)
	}
}

func TestWhatAHouseCannotDoIsAProblem(t *testing.T) {
	t.Parallel()
	k := &keeper{}
	w := serve(t, Config{House: k})
	const erase = `{"user_id":7}`
	for _, c := range []struct {
		fail       error
		path, body string
		status     int
		says       string
	}{
		{fmt.Errorf("relay: x: %w", ErrRedisAway), "erase", erase, 503, ErrRedisAway.Error()},
		{fmt.Errorf("ledger: %w", tasks.ErrUnavailable), "erase", erase, 503, tasks.ErrUnavailable.Error()},
		{fmt.Errorf("ledger: back up: %w", conflict{}), "backup", "", 409, "use pg_dump"},
		{errors.New("database or disk is full"), "backup", "", 503, "the copy could not be made"},
		{fmt.Errorf("ledger: %w", tasks.ErrUnavailable), "backup", "", 503, tasks.ErrUnavailable.Error()},
	} {
		k.fail = c.fail
		e := w.do(t, "POST", "/v1/admin/"+c.path, c.body).want(t, c.status)
		var p Problem
		e.decode(t, &p)
		if !strings.HasPrefix(p.Detail, c.says) || e.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%v: %s", c.fail, e.body)
		}
	}
	if !strings.Contains(w.log.String(), "disk is full") {
		t.Error("the log does not say why")
	}
	serve(t, Config{}).do(t, "POST", "/v1/admin/erase", erase).want(t, 404)
}

type conflict struct{}

func (conflict) Error() string { return "use pg_dump" }
func (conflict) Unwrap() error { return tasks.ErrConflict }

func TestTheQuarantineIsListedAndItsEntriesAreTriedAgainOrDiscarded(t *testing.T) {
	t.Parallel()
	k := &keeper{}
	w := serve(t, Config{House: k, Who: func(context.Context) string { return "ann" }})
	if e := w.do(t, "GET", "/v1/admin/quarantine", "").want(t, 200); string(e.body) != `{"entries":[],"open":0}`+"\n" {
		t.Errorf("an empty one is %s", e.body)
	}
	k.list = []tasks.Quarantined{{ID: 17, Source: "bridge", Queue: "c", Reason: "no JSON", Size: 3}}
	var got Quarantine
	w.do(t, "GET", "/v1/admin/quarantine?all=true&limit=500", "").want(t, 200).decode(t, &got)
	if len(got.Entries) != 1 || got.Entries[0].Reason != "no JSON" || got.Open != 1 {
		t.Errorf("listed %+v", got)
	}
	e := w.do(t, "POST", "/v1/admin/quarantine/17/replay", "").want(t, 200)
	if !strings.HasPrefix(e.header.Get("Location"), "/v1/evaluations/") || !strings.Contains(string(e.body), `"state":"accepted"`) {
		t.Errorf("replayed: %s %v", e.body, e.header)
	}
	w.do(t, "POST", "/v1/admin/quarantine/17/replay", `{"report_id":9007199254740993}`).want(t, 200)
	w.do(t, "POST", "/v1/admin/quarantine/17/replay", `{"report_id":2,"user_id":1}`).want(t, 200)
	w.do(t, "POST", "/v1/admin/quarantine/17/discard", "").want(t, 200)
	want := []string{"quarantine false 50", "quarantine true 500", "replay 17 as 0 0 ann", "replay 17 as 0 9007199254740993 ann", "replay 17 as 1 2 ann", "discard 17 ann"}
	if fmt.Sprint(k.asked) != fmt.Sprint(want) {
		t.Errorf("asked %q, want %q", k.asked, want)
	}
	k.asked = nil
	for path, status := range map[string]int{
		"GET ?all=yes": 422, "GET ?limit=0": 422, "GET ?limit=501": 422, "GET ?al=true": 422, "POST /x/replay": 404, "POST /0/replay": 404, "POST /-1/discard": 404,
		"POST /1/mend": 404, "DELETE /1/discard": 405,
	} {
		method, rest, _ := strings.Cut(path, " ")
		w.do(t, method, "/v1/admin/quarantine"+rest, "").want(t, status)
	}
	for body, status := range map[string]int{`{"report_id":0}`: 422, `{"report_id":"7"}`: 422, `{"user_id":1.5}`: 422, `{"report":7}`: 400, `[]`: 400} {
		w.do(t, "POST", "/v1/admin/quarantine/17/replay", body).want(t, status)
	}
	if len(k.asked) != 0 {
		t.Errorf("asked %q", k.asked)
	}
	for _, c := range []struct {
		fail   error
		status int
		says   string
	}{
		{&tasks.InvalidError{Err: errors.New("user_id: missing")}, 422, "user_id: missing"},
		{fmt.Errorf("ledger: %w", tasks.ErrNotFound), 404, "there is no open entry of this id"},
		{fmt.Errorf("its sender has to send it again: %w", tasks.ErrConflict), 409, "its sender has to"},
		{tasks.ErrUnavailable, 503, ""},
	} {
		k.fail = c.fail
		var p Problem
		w.do(t, "POST", "/v1/admin/quarantine/17/replay", "").want(t, c.status).decode(t, &p)
		if !strings.Contains(p.Detail, c.says) {
			t.Errorf("%v: %+v", c.fail, p)
		}
	}
}
