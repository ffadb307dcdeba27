package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"evalq/client"
	"evalq/internal/redistest"
	"evalq/internal/sqltest"
	"evalq/server"
	"evalq/tasks"
	"evalq/worker"
)

// rollout is a server of which versions with different kinds run side by side.
type rollout struct {
	t      *testing.T
	shared server.Config
	front  string
	http   *client.Client
	redis  *redis.Client
}

func newRollout(t *testing.T, ledgerURL string) rollout {
	t.Helper()
	address := redistest.Start(t).URL
	options, err := redis.ParseURL(address)
	if err != nil {
		t.Fatal(err)
	}
	r := rollout{t: t, shared: server.Config{LedgerURL: ledgerURL, RedisURL: address}, redis: redis.NewClient(options)}
	t.Cleanup(func() { r.redis.Close() })
	s, _ := r.process(nil, "api", "relay", "dashboard")
	r.front = s.URL()
	r.http = r.open(r.front)
	return r
}

// process starts a process of a version that has handlers for the kinds.
func (r rollout) process(kinds []tasks.Kind, roles ...string) (_ *server.Server, stop func()) {
	r.t.Helper()
	cfg := r.shared
	cfg.Roles, cfg.Handlers = roles, map[tasks.Kind]worker.Handler{}
	if roles[0] == "api" {
		cfg.Listen = "127.0.0.1:0"
	}
	for _, k := range kinds {
		cfg.Handlers[k] = func(_ context.Context, job tasks.Job) (json.RawMessage, error) { return json.Marshal(job.Data) }
	}
	return serveUntil(r.t, cfg)
}

// page reads a page of the dashboard.
func (r rollout) page(path string) string {
	r.t.Helper()
	resp, err := http.Get(r.front + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

func (r rollout) open(url string) *client.Client {
	r.t.Helper()
	c, err := client.Open(r.t.Context(), url, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return c
}

func (r rollout) submit(c *client.Client, k tasks.Kind, report int64, opts ...client.Option) tasks.Job {
	r.t.Helper()
	j, err := c.Submit(r.t.Context(), tasks.Custom{Name: k, UserID: 7, ReportID: report, Data: json.RawMessage(`{"n":12345678901234567890}`)}, opts...)
	if err != nil {
		r.t.Fatal(err)
	}
	return j
}

// await waits until the newest job of a key is in a state.
func (r rollout) await(k tasks.Kind, report int64, want tasks.State) tasks.Job {
	r.t.Helper()
	deadline := time.After(90 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		j, err := r.http.Find(r.t.Context(), k, 7, report)
		if err == nil && j.State == want {
			return j
		}
		select {
		case <-deadline:
			r.t.Fatalf("in 90 s the job of %s did not become %s: %+v, %v", k, want, j, err)
		case <-tick.C:
		}
	}
}

func TestANewKindIsRolledOutInAnyOrderAndLosesNothing(t *testing.T) {
	t.Parallel()
	for name, database := range map[string]func(testing.TB) string{"postgres": sqltest.Postgres, "mariadb": sqltest.MariaDB} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRollout(t, database(t))
			_, drain := r.process(nil, "worker") // of the old version
			direct := r.open(r.shared.LedgerURL)

			// A program is rolled out before its workers.
			var invalid *tasks.InvalidError
			for _, c := range []*client.Client{r.http, direct} {
				if _, err := c.Submit(t.Context(), tasks.Custom{Name: "new_kind", UserID: 7, ReportID: 1}); !errors.As(err, &invalid) || !strings.Contains(err.Error(), "new_kind") {
					t.Fatalf("a kind that may be a mistake: %v", err)
				}
			}
			r.submit(direct, "new_kind", 1, client.NewKind())
			j := r.await("new_kind", 1, tasks.Held)
			if j.Hold != tasks.HoldNoWorker || j.Attempt != 0 {
				t.Fatalf("held for %q after attempt %d", j.Hold, j.Attempt)
			}
			if text := r.page("/jobs/" + j.ID); !strings.Contains(text, string(tasks.HoldNoWorker)) || !strings.Contains(text, "No worker that is at work has a handler for its kind") {
				t.Errorf("the job's page does not say why it waits: %s", text)
			}
			if text := r.page("/"); !strings.Contains(text, "with a handler for the kind <b>new_kind</b>") {
				t.Errorf("the overview does not say that a job waits: %s", text)
			}
			// An API of the new version makes it known to those of the old one.
			second, _ := r.process([]tasks.Kind{"new_kind"}, "api")
			fresh := r.open(second.URL())
			r.submit(fresh, "new_kind", 2)
			r.submit(r.http, "new_kind", 3)
			r.submit(r.open(r.shared.RedisURL), "queued_kind", 4) // which can refuse nothing
			for report, k := range map[int64]tasks.Kind{2: "new_kind", 3: "new_kind", 4: "queued_kind"} {
				r.await(k, report, tasks.Held)
			}

			// What waits needs no Redis.
			if err := r.redis.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			r.process([]tasks.Kind{"new_kind", "queued_kind"}, "worker")
			for report := int64(5); report < 45; report++ {
				if report == 25 {
					drain() // half of the jobs are submitted before, half after it
				}
				r.submit(r.http, "new_kind", report)
			}
			for report := int64(1); report < 45; report++ {
				k := tasks.Kind("new_kind")
				if report == 4 {
					k = "queued_kind"
				}
				j := r.await(k, report, tasks.Succeeded)
				if j.Attempt != 1 || j.Charged != 0 || string(j.Result) != `{"n":12345678901234567890}` {
					t.Fatalf("attempt %d, %d charged, result %s", j.Attempt, j.Charged, j.Result)
				}
			}
		})
	}
}
