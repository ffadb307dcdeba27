package relay

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"evalq/internal/ledger"
	"evalq/internal/ledger/sqlite"
	"evalq/internal/redistest"
	"evalq/internal/sqltest"
	"evalq/tasks"
	"evalq/worker"
)

func TestMain(m *testing.M) { sqltest.Main(m) }

// kind is a platform's own kind.
const kind tasks.Kind = "resume_parse"

// brisk is a rhythm for tests that wait for a duty.
var brisk = rhythm{sweep: 20 * time.Millisecond, epoch: 50 * time.Millisecond, loss: 50 * time.Millisecond, begin: 100 * time.Millisecond, verify: 50 * time.Millisecond, age: 100 * time.Millisecond, house: 50 * time.Millisecond}

// world is a real Redis, a real ledger whose clock a test can set forward, and
// the relays and workers that the test starts.
type world struct {
	t      *testing.T
	redis  *redistest.Server
	rdb    *redis.Client
	insp   *asynq.Inspector
	ledger *sqlite.DB
	ahead  atomic.Int64 // of the real time
	log    *counter
	policy func(tasks.Kind) tasks.Policy
}

func newWorld(t *testing.T, options ...redistest.Option) *world {
	t.Helper()
	w := &world{t: t, log: &counter{Handler: slog.NewTextHandler(io.Discard, nil), seen: map[string]int{}}}
	w.policy = func(k tasks.Kind) tasks.Policy {
		p := tasks.PolicyFor(k)
		p.Deaths, p.BackoffBase, p.BackoffMax = 1, time.Millisecond, 2*time.Millisecond
		return p
	}
	db, err := sqlite.Open(context.Background(), t.TempDir(), &ledger.Config{Policies: w.policy, Now: func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	w.ledger, w.redis = db, redistest.Start(t, options...)
	w.rdb = w.redis.Client(t)
	w.insp = asynq.NewInspectorFromRedisClient(w.rdb)
	return w
}

// counter counts log lines by what they are about.
type counter struct {
	slog.Handler
	mu   sync.Mutex
	seen map[string]int
}

func (c *counter) Handle(_ context.Context, r slog.Record) error {
	c.mu.Lock()
	c.seen[r.Message]++
	c.mu.Unlock()
	return nil
}

func (c *counter) Enabled(context.Context, slog.Level) bool { return true }

func (c *counter) count(message string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[message]
}

func (w *world) relay(every rhythm, cfg Config) *Relay {
	w.t.Helper()
	cfg.Logger, cfg.Policies = slog.New(w.log), w.policy
	r, err := New(w.ledger.Ledger, w.rdb, &cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	r.every = every
	return r
}

// background runs f until stop or the end of the test, and waits for it.
func (w *world) background(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("background: %v", err)
		}
	})
	w.t.Cleanup(stop)
	return stop
}

func (w *world) run(every rhythm) (stop func()) {
	w.t.Helper()
	return w.background(w.relay(every, Config{}).Run)
}

// serve starts a worker whose handler is h.
func (w *world) serve(h worker.Handler) (stop func()) {
	w.t.Helper()
	s, err := worker.New(w.rdb, w.ledger.Ledger, &worker.Config{
		Handlers: map[tasks.Kind]worker.Handler{kind: h}, Slots: 4, DrainTimeout: 30 * time.Second, Logger: slog.New(w.log),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return w.background(s.Run)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) accept(user, report int64) tasks.Job {
	w.t.Helper()
	return w.request(tasks.Request{Payload: tasks.Custom{Name: kind, UserID: user, ReportID: report}})
}

func (w *world) request(r tasks.Request) tasks.Job {
	w.t.Helper()
	j, _, err := w.ledger.Accept(w.t.Context(), r, "test")
	w.must(err)
	return j
}

// acceptMany accepts n jobs of one user, whose reports begin at from.
func (w *world) acceptMany(user, from int64, n int) (ids []string) {
	w.t.Helper()
	rs := make([]tasks.Request, n)
	for i := range rs {
		rs[i].Payload = tasks.Custom{Name: kind, UserID: user, ReportID: from + int64(i)}
	}
	for _, a := range w.ledger.AcceptMany(w.t.Context(), rs, "test") {
		w.must(a.Err)
		ids = append(ids, a.Job.ID)
	}
	return ids
}

func (w *world) get(id string) tasks.Job {
	w.t.Helper()
	j, err := w.ledger.Get(w.t.Context(), id)
	w.must(err)
	return j
}

func (w *world) await(id string, want tasks.State) (j tasks.Job) {
	w.t.Helper()
	w.eventually("job becomes "+string(want), func() bool { j = w.get(id); return j.State == want })
	return j
}

// begin takes a job as a worker of that name would, without Asynq.
func (w *world) begin(j tasks.Job, name string) tasks.Fence {
	w.t.Helper()
	c, err := w.ledger.Begin(w.t.Context(), tasks.Delivery{Job: j.ID, Number: j.Delivery, Worker: name})
	w.must(err)
	if c.Outcome != tasks.Mine {
		w.t.Fatalf("begin: %s", c.Outcome)
	}
	return tasks.Fence{Job: j.ID, Attempt: c.Job.Attempt, Worker: name}
}

func (w *world) complete(f tasks.Fence) {
	w.t.Helper()
	w.must(w.ledger.Complete(w.t.Context(), f, tasks.Finish{Result: json.RawMessage(`1`)}))
}

// taskState is empty when Asynq has no such task.
func (w *world) taskState(id string) string {
	w.t.Helper()
	info, err := w.insp.GetTaskInfo("default", id)
	if errors.Is(err, asynq.ErrTaskNotFound) || errors.Is(err, asynq.ErrQueueNotFound) {
		return ""
	}
	w.must(err)
	return info.State.String()
}

func (w *world) awaitTask(id, want string) {
	w.t.Helper()
	w.eventually("task "+id+" is "+want, func() bool { return w.taskState(id) == want })
}

// pending lists the task ids of the default queue in the order of service.
func (w *world) pending() []string {
	w.t.Helper()
	ids, err := w.rdb.LRange(w.t.Context(), "asynq:{default}:pending", 0, -1).Result()
	w.must(err)
	slices.Reverse(ids)
	return ids
}

// pendingOf counts the waiting tasks of a user.
func (w *world) pendingOf() map[int64]int {
	w.t.Helper()
	out := map[int64]int{}
	for _, id := range w.pending() {
		job, _, err := tasks.ParseTaskID(id)
		w.must(err)
		out[w.get(job).UserID]++
	}
	return out
}

// moves counts the events of a job that lead to a state.
func (w *world) moves(id string, to tasks.State) (n int) {
	w.t.Helper()
	events, err := w.ledger.Events(w.t.Context(), id)
	w.must(err)
	for _, e := range events {
		if e.To == to {
			n++
		}
	}
	return n
}

// traces lists the keys of Asynq that mention a task.
func (w *world) traces(id string) (found []string) {
	w.t.Helper()
	ctx, prefix := w.t.Context(), "asynq:{default}:"
	for _, list := range []string{"pending", "active"} {
		ids, err := w.rdb.LRange(ctx, prefix+list, 0, -1).Result()
		w.must(err)
		if slices.Contains(ids, id) {
			found = append(found, list)
		}
	}
	for _, set := range []string{"lease", "retry", "scheduled", "archived", "completed"} {
		if err := w.rdb.ZScore(ctx, prefix+set, id).Err(); err == nil {
			found = append(found, set)
		}
	}
	if w.rdb.Exists(ctx, prefix+"t:"+id).Val() > 0 {
		found = append(found, "hash")
	}
	return found
}

func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	deadline := time.After(30 * time.Second)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-deadline:
			w.t.Fatalf("in 30 s it did not happen that the %s", strings.TrimSpace(what))
		case <-look.C:
		}
	}
}
