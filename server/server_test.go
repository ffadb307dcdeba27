package server_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"evalq/client"
	"evalq/internal/platform/platformtest"
	"evalq/internal/redistest"
	"evalq/internal/sqltest"
	"evalq/server"
	"evalq/tasks"
	"evalq/worker"
)

func TestMain(m *testing.M) {
	sqltest.Main(m, goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"))
}

func serve(t *testing.T, cfg server.Config) *server.Server {
	t.Helper()
	s, _ := serveUntil(t, cfg)
	return s
}

// lines are what a logger writes.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// serveUntil serves until stop, which drains the server, or the end of the test.
func serveUntil(t *testing.T, cfg server.Config) (_ *server.Server, stop func()) {
	t.Helper()
	if cfg.DataDir = t.TempDir(); cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	s, err := server.Open(t.Context(), &cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	t.Cleanup(stop)
	return s, stop
}

func TestAPlatformRunsAWorkerProcessOfItsOwn(t *testing.T) {
	t.Parallel()
	platform := platformtest.New(t, sqltest.MariaDB(t), platformtest.ByProgram)
	platform.Record(42, 7, "completed", time.Now())
	platform.Say(7, 42, "What is a map?", "a hash table")
	shared := server.Config{
		LedgerURL: sqltest.MariaDB(t), RedisURL: redistest.Start(t).URL, Namespace: "staging",
		PlatformDB: platform.URL, PlatformEndpoints: true,
	}
	front := shared
	front.Listen, front.Roles = "127.0.0.1:0", []string{"api", "relay", "dashboard"}
	back := shared
	back.Roles, back.PlatformEndpoints = []string{"worker"}, false
	var log lines
	back.Logger = slog.New(slog.NewTextHandler(&log, nil))
	defer func() {
		if !strings.Contains(log.String(), "msg=started") || !strings.Contains(log.String(), "roles=worker") {
			t.Errorf("the log has no line for the start:\n%s", log.String())
		}
	}()
	back.Handlers = map[tasks.Kind]worker.Handler{tasks.KindEvaluationReport: func(ctx context.Context, _ tasks.Job) (json.RawMessage, error) {
		_, err := platform.DB.ExecContext(ctx, `INSERT INTO interview_evaluation (user_id, report_id, comment, score, dimensions, created_at, updated_at)
			VALUES (7, 42, 'sound', 80, '[{"dimension_name":"depth","evaluation":"good","score":80}]', now(3), now(3))`)
		return json.RawMessage(`"the platform's own"`), err
	}}
	f, b := serve(t, front), serve(t, back)
	if b.URL() != "" {
		t.Errorf("a worker listens at %s", b.URL())
	}
	c, err := client.Open(t.Context(), f.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	job, err := c.Submit(t.Context(), tasks.EvaluationReport{UserID: 7, ReportID: 42})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if job, err = c.Wait(ctx, job.ID); err != nil || job.State != tasks.Succeeded || string(job.Result) != `"the platform's own"` {
		t.Errorf("%v: %+v", err, job)
	}
}

func TestSettingsAreCheckedAsThoseOfTheProgramAre(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]server.Config{
		"a SQLite ledger belongs to one process": {Roles: []string{"worker"}},
		"api, worker, relay, dashboard":          {Roles: []string{"cook"}, LedgerURL: "mysql://h/d", RedisURL: "redis://h"},
		"share a Redis":                          {LedgerURL: "postgres://h/d"},
		"lower-case letters":                     {Namespace: "Not This"},
		"mysql://user:password@host":             {PlatformDB: "postgres://u:s3cret@h/d"},
		"it is the role api":                     {PlatformEndpoints: true, Roles: []string{"worker"}, LedgerURL: "mysql://h/d", RedisURL: "redis://h"},
	} {
		cfg.DataDir = t.TempDir()
		s, err := server.Open(t.Context(), &cfg)
		if err == nil {
			s.Close()
			t.Errorf("%q was not said", want)
		} else if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v, want it to say %q", err, want)
		}
	}
}
