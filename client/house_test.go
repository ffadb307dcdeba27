package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"evalq/client"
	"evalq/tasks"
)

func TestARemovalIsAskedForUntilItIsDone(t *testing.T) {
	t.Parallel()
	var asked []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, r.Method+" "+r.URL.Path+" "+string(body))
		switch len(asked) {
		case 1:
			problem(w, 503, "unavailable", "not now")
		case 2:
			fmt.Fprint(w, `{"jobs":2,"running":1,"done":false}`)
		default:
			fmt.Fprint(w, `{"jobs":3,"interviews":1,"done":true}`)
		}
	}, nil)
	got, err := c.Erase(t.Context(), 9223372036854775807, false)
	if want := (tasks.Removed{Jobs: 5, Interviews: 1, Done: true}); err != nil || got != want {
		t.Fatalf("removed %+v, %v", got, err)
	}
	for _, a := range asked {
		if a != `POST /v1/admin/erase {"dry_run":false,"user_id":9223372036854775807}` {
			t.Errorf("asked %s", a)
		}
	}
	if len(asked) != 3 {
		t.Errorf("asked %d times", len(asked))
	}
	asked = asked[:2]
	if _, err := c.Purge(t.Context(), time.Date(2026, 1, 1, 1, 0, 0, 0, time.FixedZone("", 3600)), true); err != nil || asked[2] != `POST /v1/admin/purge {"before":"2026-01-01T00:00:00Z","dry_run":true}` {
		t.Errorf("asked %s, %v", asked[2], err)
	}
}

func TestARemovalThatIsGivenUpSaysHowFarItCame(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) == 2 {
			defer cancel(enough)
		}
		fmt.Fprint(w, `{"jobs":1,"done":false}`)
	}, nil)
	got, err := c.Erase(ctx, 7, false)
	if !errors.Is(err, enough) || got.Jobs < 1 || got.Done {
		t.Fatalf("removed %+v, %v", got, err)
	}
}

func TestABackfillGoesThroughAllPagesAndStopsAtItsLimit(t *testing.T) {
	t.Parallel()
	pages := map[string]string{ // by cursor
		"":   `{"looked":500,"interviews":2,"next":"a1","kinds":{"evaluation_report":{"found":3,"submitted":2,"dead":1}},"left":["x"]}`,
		"a1": `{"looked":500,"interviews":0,"next":"b2","kinds":{"topic_evaluation":{"found":1,"young":1}}}`,
		"b2": `{"looked":7,"interviews":1,"kinds":{"evaluation_report":{"found":1,"submitted":1}},"left":["y"]}`,
	}
	var asked []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, r.URL.Path+" "+string(body))
		var b struct{ Cursor string }
		if err := json.Unmarshal(body, &b); err != nil {
			t.Error(err)
		}
		if len(asked) == 2 {
			problem(w, 503, "unavailable", "not now")
			return
		}
		fmt.Fprint(w, pages[b.Cursor])
	}, nil)
	got, err := c.Backfill(t.Context(), tasks.Backfill{DryRun: true, UserID: 9223372036854775807, OlderThan: time.Hour})
	want := tasks.Backfilled{Looked: 1007, Interviews: 3, Left: []string{"x", "y"}, Kinds: map[tasks.Kind]tasks.BackfilledKind{
		tasks.KindEvaluationReport: {Found: 4, Submitted: 3, Dead: 1}, tasks.KindTopicEvaluation: {Found: 1, Young: 1},
	}}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("got %+v, %v\nwant %+v", got, err, want)
	}
	if len(asked) != 4 || asked[0] != `/v1/admin/backfill {"dry_run":true,"older_than":"1h0m0s","user_id":9223372036854775807}` ||
		asked[3] != `/v1/admin/backfill {"cursor":"b2","dry_run":true,"older_than":"1h0m0s","user_id":9223372036854775807}` {
		t.Errorf("asked %q", asked)
	}

	asked = append(asked[:0], "", "") // so that no request is refused
	if got, err = c.Backfill(t.Context(), tasks.Backfill{Limit: 2}); err != nil || got.Interviews != 2 || got.Next != "a1" || len(asked) != 3 {
		t.Errorf("with a limit: %+v, %v; asked %q", got, err, asked)
	}
	if got, err = c.Backfill(t.Context(), tasks.Backfill{Limit: 2, Cursor: "a1"}); err != nil || got.Interviews != 1 || got.Next != "" {
		t.Errorf("from there on: %+v, %v", got, err)
	}
	if last := asked[len(asked)-1]; last != `/v1/admin/backfill {"cursor":"b2","dry_run":false,"limit":2,"older_than":"0s"}` {
		t.Errorf("asked %s", last)
	}
}

func TestABackfillThatIsGivenUpSaysWhereToGoOn(t *testing.T) {
	t.Parallel()
	calls := 0
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if calls++; calls == 2 {
			problem(w, 403, "forbidden", "operators only")
			return
		}
		fmt.Fprint(w, `{"looked":500,"interviews":2,"next":"a1"}`)
	}, nil)
	got, err := c.Backfill(t.Context(), tasks.Backfill{})
	if !errors.Is(err, client.ErrUnauthorized) || got.Looked != 500 || got.Next != "a1" {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func TestABackupIsWrittenAsItComes(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("ledger", 10_000)
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "POST" || r.URL.Path != "/v1/admin/backup" || r.Header.Get("Authorization") != "Bearer secret-token" {
			t.Errorf("asked %s %s", r.Method, r.URL.Path)
		}
		w.Header().Set("Content-Type", "application/vnd.sqlite3")
		_, _ = io.WriteString(w, content)
	}, &client.Config{Token: "secret-token", Timeout: time.Nanosecond}) // which does not bound a backup
	var out bytes.Buffer
	if n, err := c.Backup(t.Context(), &out); err != nil || n != int64(len(content)) || out.String() != content {
		t.Fatalf("%d bytes, %v", n, err)
	}
	for status, want := range map[int]error{409: tasks.ErrConflict, 403: client.ErrUnauthorized, 503: tasks.ErrUnavailable} {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) { problem(w, status, "x", "use pg_dump") }, nil)
		if n, err := c.Backup(t.Context(), &out); !errors.Is(err, want) || n != 0 || !strings.Contains(err.Error(), "use pg_dump") {
			t.Errorf("%d: %d bytes, %v", status, n, err)
		}
	}
	cut := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.sqlite3")
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "SQLite")
	}, nil)
	if n, err := cut.Backup(t.Context(), &out); err == nil || n != 6 {
		t.Errorf("a part passed for the whole: %d bytes, %v", n, err)
	}
}

func TestADatabaseURLCannotKeepHouseAndSaysWhichURLCan(t *testing.T) {
	t.Parallel()
	_, url := postgresql.served(t)
	c := open(t, url, nil)
	_, purge := c.Purge(t.Context(), time.Now(), true)
	_, erase := c.Erase(t.Context(), 7, true)
	_, backup := c.Backup(t.Context(), io.Discard)
	_, backfill := c.Backfill(t.Context(), tasks.Backfill{DryRun: true})
	for what, err := range map[string]error{"purge": purge, "erase": erase, "backup": backup, "backfill": backfill} {
		if !errors.Is(err, client.ErrNeedsServer) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestTheQuarantineIsReachedThroughAServerAlone(t *testing.T) {
	t.Parallel()
	var asked []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, r.Method+" "+r.URL.String()+" "+string(body))
		switch {
		case r.Method == http.MethodGet:
			fmt.Fprint(w, `{"entries":[{"id":17,"source":"bridge","reason":"no JSON"}],"open":3}`)
		case strings.HasSuffix(r.URL.Path, "/18/replay"):
			problem(w, 422, "invalid", "user_id: missing")
		case strings.HasSuffix(r.URL.Path, "/replay"):
			fmt.Fprint(w, jobJSON)
		default:
			fmt.Fprint(w, `{"id":17}`)
		}
	}, nil)
	entries, open, err := c.Quarantine(t.Context(), true)
	if err != nil || len(entries) != 1 || entries[0].ID != 17 || open != 3 {
		t.Errorf("%+v, %d open, %v", entries, open, err)
	}
	if j, err := c.Replay(t.Context(), 17, 0, 9007199254740993); err != nil || j.ReportID != 9007199254740993 {
		t.Errorf("replayed as %+v, %v", j, err)
	}
	var invalid *tasks.InvalidError
	if _, err := c.Replay(t.Context(), 18, 0, 0); !errors.As(err, &invalid) || !strings.Contains(err.Error(), "user_id: missing") {
		t.Errorf("one that cannot be read: %v", err)
	}
	if err := c.Discard(t.Context(), 17); err != nil {
		t.Error(err)
	}
	want := []string{
		"GET /v1/admin/quarantine?all=true&limit=500 ", `POST /v1/admin/quarantine/17/replay {"report_id":9007199254740993}`,
		"POST /v1/admin/quarantine/18/replay {}", "POST /v1/admin/quarantine/17/discard ",
	}
	if fmt.Sprint(asked) != fmt.Sprint(want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
}
