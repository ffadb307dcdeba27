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
