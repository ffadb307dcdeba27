package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"evalq/internal/redistest"
	"evalq/internal/sandbox"
)

// cluster is a ledger on a server, a Redis, and processes that have one role
// each.
type cluster struct {
	t     *testing.T
	sql   *sandbox.Server
	redis *redistest.Server
	api   *process
	args  []string
}

// ledgers are the servers that every test of roles runs on.
func ledgers(t *testing.T, test func(c *cluster)) {
	for name, open := range map[string]func(context.Context, *sandbox.Config) (*sandbox.Server, error){
		"PostgreSQL": sandbox.StartPostgres, "MariaDB": sandbox.StartMariaDB,
	} {
		t.Run("on "+name, func(t *testing.T) {
			t.Parallel()
			s, err := open(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Errorf("close the server: %v", err)
				}
			})
			r := redistest.Start(t, redistest.WithAOF())
			test(&cluster{t: t, sql: s, redis: r, args: []string{"--ledger-url", s.URL(), "--redis-url", r.URL}})
		})
	}
}

func (c *cluster) serve(more ...string) []string {
	return append(append([]string{"serve"}, c.args...), more...)
}

// role starts a process that has that role only and serves nothing over HTTP.
func (c *cluster) role(name string) *process {
	c.t.Helper()
	p := launch(c.t, c.serve("--roles", name)...)
	p.awaitLine("serving ")
	return p
}

func (c *cluster) startAPI() {
	c.t.Helper()
	c.api = start(c.t, c.serve("--roles", "api,dashboard", "--listen", "127.0.0.1:0")...)
}

func TestRolesApartEvaluateAndEachMayBeKilled(t *testing.T) {
	t.Parallel()
	ledgers(t, func(c *cluster) {
		const reports = 150
		c.startAPI()
		relay, standby := c.role("relay"), c.role("relay")
		workers := []*process{c.role("worker"), c.role("worker")}
		l := &load{acked: map[string]bool{}}
		var wg sync.WaitGroup
		wg.Go(func() { l.submit(c.api, 1, reports, 0) })
		c.api.await("has accepted some", func() bool { return l.count() > reports/2 })
		workers[0].kill()
		relay.kill()
		c.role("worker")
		wg.Wait()
		old := c.api
		old.kill()
		c.startAPI()
		l.submit(c.api, reports+1, reports+20, 0)
		for id := range l.acked {
			if job := c.api.finished(id); job["state"] != "succeeded" {
				t.Fatalf("job %s ended as %v: %v", id, job["state"], job["error"])
			}
		}
		c.api.wantOneJobAKey(2 * (reports + 20))
		for _, p := range []*process{workers[1], standby, c.api} {
			if code := p.interrupt(); code != 0 {
				t.Errorf("a process ended with %d:\n%s", code, p.out)
			}
		}
	})
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

func TestADatabaseThatRestartsIsSeenInReadinessAndLosesNothing(t *testing.T) {
	t.Parallel()
	ledgers(t, func(c *cluster) {
		c.startAPI()
		c.role("relay")
		c.role("worker")
		l := &load{acked: map[string]bool{}}
		l.submit(c.api, 1, 30, 0)
		if err := c.sql.Kill(); err != nil {
			t.Fatal(err)
		}
		c.api.await("is not ready", func() bool { return c.status("GET", "/readyz", nil) == http.StatusServiceUnavailable })
		if got := c.status("POST", "/v1/evaluations", map[string]any{"kind": "evaluation_report", "user_id": 1, "report_id": 999}); got != http.StatusServiceUnavailable {
			t.Errorf("a submission without a database: %d", got)
		}
		if got := c.status("GET", "/healthz", nil); got != http.StatusOK {
			t.Errorf("healthz without a database: %d", got)
		}
		if err := c.sql.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.api.await("is ready again", func() bool { return c.status("GET", "/readyz", nil) == http.StatusOK })
		l.submit(c.api, 31, 60, 0)
		if len(l.acked) != 120 {
			t.Errorf("%d of 120 were accepted", len(l.acked))
		}
		for id := range l.acked {
			if job := c.api.finished(id); job["state"] != "succeeded" {
				t.Fatalf("job %s ended as %v: %v", id, job["state"], job["error"])
			}
		}
	})
}

func (c *cluster) status(method, path string, body any) int {
	ctx, cancel := context.WithTimeout(c.t.Context(), 40*time.Second)
	defer cancel()
	r, err := request(ctx, method, c.api.url+path, body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return r.status
}

func TestSubmissionsAreAcceptedWhileRedisIsDownAndFlowWhenItIsBack(t *testing.T) {
	t.Parallel()
	ledgers(t, func(c *cluster) {
		c.startAPI()
		c.role("relay")
		c.role("worker")
		c.redis.Kill()
		l := &load{acked: map[string]bool{}}
		l.submit(c.api, 1, 20, 0)
		if len(l.acked) != 40 {
			t.Fatalf("%d of 40 were accepted", len(l.acked))
		}
		c.redis.Restart()
		for id := range l.acked {
			if job := c.api.finished(id); job["state"] != "succeeded" {
				t.Fatalf("job %s ended as %v: %v", id, job["state"], job["error"])
			}
		}
	})
}

// A worker that is stopped, not killed, looks dead to all others, and comes back
// as a zombie.
func TestAFrozenWorkerIsGivenUpAndItsComingBackChangesNothing(t *testing.T) {
	t.Parallel()
	ledgers(t, func(c *cluster) {
		c.startAPI()
		c.role("relay")
		frozen := c.role("worker")
		l := &load{acked: map[string]bool{}}
		l.submit(c.api, 1, 10, 0)
		for id := range l.acked {
			c.api.finished(id)
		}
		if err := frozen.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		l.submit(c.api, 11, 60, 0)
		c.role("worker")
		began := time.Now()
		for id := range l.acked {
			if job := c.api.finished(id); job["state"] != "succeeded" {
				t.Fatalf("job %s ended as %v: %v", id, job["state"], job["error"])
			}
		}
		t.Logf("all were done %s after the other worker had started", time.Since(began).Round(time.Millisecond))
		if err := frozen.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		l.submit(c.api, 61, 80, 0)
		for id := range l.acked {
			if job := c.api.finished(id); job["state"] != "succeeded" {
				t.Fatalf("job %s ended as %v: %v", id, job["state"], job["error"])
			}
		}
		c.api.wantOneJobAKey(160)
	})
}

func TestARedisOfAnotherLedgerIsRefusedUnlessTheNamespaceDiffers(t *testing.T) {
	t.Parallel()
	r := redistest.Start(t)
	first := start(t, "serve", "--listen", "127.0.0.1:0", "--data-dir", t.TempDir(), "--redis-url", r.URL)
	first.await("has marked its Redis", func() bool {
		n, err := r.Client(t).Exists(t.Context(), "evalq:epoch").Result()
		return err == nil && n == 1
	})
	out, code := run(t, "serve", "--listen", "127.0.0.1:0", "--data-dir", t.TempDir(), "--redis-url", r.URL)
	if code == 0 || !strings.Contains(out, "--namespace") || !strings.Contains(out, "evalq:epoch") {
		t.Fatalf("a second ledger started, or was refused without a way out: %d\n%s", code, out)
	}
	other := start(t, "serve", "--listen", "127.0.0.1:0", "--data-dir", t.TempDir(), "--redis-url", r.URL, "--namespace", "staging")
	for i, p := range []*process{first, other} {
		l := &load{acked: map[string]bool{}}
		l.submit(p, 1, 10, 0)
		for id := range l.acked {
			if job := p.finished(id); job["state"] != "succeeded" {
				t.Fatalf("ledger %d: job %s ended as %v", i, id, job["state"])
			}
		}
		p.wantOneJobAKey(20)
	}
	queues, err := r.Client(t).SMembers(t.Context(), "asynq:queues").Result()
	if err != nil || len(queues) != 6 {
		t.Fatalf("the queues are %v, %v", queues, err)
	}
}

// The order of a stop: a job that runs may finish while the API still answers,
// also requests that came with the signal.
func TestAtSIGTERMRequestsUnderWayAreStillAccepted(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, engine []string) {
		dir := t.TempDir()
		p := serve(t, dir, engine)
		acked := make(chan string, 10_000)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for caller := range int64(8) {
			wg.Go(func() {
				for n := int64(1); ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					r, err := request(context.WithoutCancel(t.Context()), "POST", p.url+"/v1/evaluations",
						map[string]any{"kind": "evaluation_report", "user_id": caller + 1, "report_id": caller*100_000 + n})
					if err != nil {
						if errors.Is(err, context.Canceled) {
							t.Errorf("cut off: %v", err)
						}
						return // nothing listens any more
					}
					if r.status != http.StatusAccepted {
						t.Errorf("answer %d: %s", r.status, r.raw)
						return
					}
					acked <- fmt.Sprint(r.body["id"])
				}
			})
		}
		p.await("has accepted some", func() bool { return len(acked) > 100 })
		if code := p.interrupt(); code != 0 {
			t.Fatalf("it ended with %d:\n%s", code, p.out)
		}
		close(stop)
		wg.Wait()
		close(acked)
		p = serve(t, dir, engine)
		for id := range acked {
			p.call("GET", "/v1/evaluations/"+id, nil, 200)
		}
	})
}
