package worker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"evalq/internal/ledger"
	"evalq/internal/ledger/sqlite"
	"evalq/internal/redistest"
	"evalq/internal/relay"
	"evalq/tasks"
	"evalq/worker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// kind is the kind of most tests: a platform's own.
const kind tasks.Kind = "resume_parse"

// fast is a policy whose delays do not slow a test down.
func fast(k tasks.Kind) tasks.Policy {
	p := tasks.PolicyFor(k)
	p.BackoffBase, p.BackoffMax = time.Millisecond, 2*time.Millisecond
	return p
}

// world is a real Redis, a real ledger, a relay and, once started, a worker.
type world struct {
	t      *testing.T
	redis  *redistest.Server
	rdb    *redis.Client
	ledger *sqlite.DB
	cfg    worker.Config
}

func newWorld(t *testing.T, policies func(tasks.Kind) tasks.Policy, options ...redistest.Option) *world {
	t.Helper()
	if policies == nil {
		policies = fast
	}
	db, err := sqlite.Open(context.Background(), t.TempDir(), &ledger.Config{Policies: policies})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	server := redistest.Start(t, options...)
	w := &world{t: t, redis: server, rdb: server.Client(t), ledger: db}
	w.cfg = worker.Config{Handlers: map[tasks.Kind]worker.Handler{}, Slots: 4, DrainTimeout: 30 * time.Second, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	r, err := relay.New(db.Ledger, w.rdb, &relay.Config{Policies: policies, Logger: w.cfg.Logger})
	if err != nil {
		t.Fatal(err)
	}
	w.background(r.Run)
	return w
}

// background runs f until the test ends, and waits for it.
func (w *world) background(f func(context.Context) error) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-done
	}
	w.t.Cleanup(func() {
		if err := stop(); err != nil {
			w.t.Errorf("background: %v", err)
		}
	})
	return stop
}

// serve starts a worker with one handler for kind.
func (w *world) serve(h worker.Handler) (stop func() error) {
	w.t.Helper()
	w.cfg.Handlers[kind] = h
	s, err := worker.New(w.rdb, w.ledger.Ledger, &w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.background(s.Run)
}

func (w *world) submit(report int64) tasks.Job {
	w.t.Helper()
	j, _, err := w.ledger.Accept(w.t.Context(), tasks.Request{Payload: tasks.Custom{Name: kind, UserID: 7, ReportID: report}}, "test")
	if err != nil {
		w.t.Fatal(err)
	}
	return j
}

// await waits until the job is in a state.
func (w *world) await(id string, want tasks.State) tasks.Job {
	w.t.Helper()
	var j tasks.Job
	eventually(w.t, fmt.Sprintf("job becomes %s", want), func() bool {
		var err error
		if j, err = w.ledger.Get(w.t.Context(), id); err != nil {
			w.t.Fatal(err)
		}
		return j.State == want
	})
	return j
}

// awaitTask waits until Asynq shows a task in a state.
func (w *world) awaitTask(j tasks.Job, want asynq.TaskState) *asynq.TaskInfo {
	w.t.Helper()
	insp := asynq.NewInspectorFromRedisClient(w.rdb)
	var info *asynq.TaskInfo
	eventually(w.t, fmt.Sprintf("task becomes %s", want), func() bool {
		var err error
		info, err = insp.GetTaskInfo(string(j.Priority), j.TaskID())
		return err == nil && info.State == want
	})
	return info
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("in 30 s it did not happen that the %s", what)
		case <-look.C:
		}
	}
}

func (w *world) attempts(id string) []tasks.Attempt {
	w.t.Helper()
	a, err := w.ledger.Attempts(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func answer(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
