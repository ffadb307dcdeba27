package mq

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"evalq/internal/evaluation"
	"evalq/internal/ledger/sqlite"
	"evalq/internal/redistest"
	"evalq/tasks"
)

// bridgeWorld is one test's ledger and Redis.
type bridgeWorld struct {
	*testing.T
	db    *sqlite.DB
	redis *redistest.Server
	rdb   *redis.Client
	log   *bridgeLog
}

type bridgeLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *bridgeLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *bridgeLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newBridgeWorld(t *testing.T, s *redistest.Server) *bridgeWorld {
	t.Helper()
	if s == nil {
		s = redistest.Start(t)
	}
	db, err := sqlite.Open(context.Background(), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return &bridgeWorld{t, db, s, s.Client(t), &bridgeLog{}}
}

// bridgeRun is a bridge that runs until it is stopped or the test ends.
type bridgeRun struct {
	*Bridge
	w    *bridgeWorld
	stop func()
}

// begin starts a bridge without waiting for it. The times are short, so that nobody
// has to wait for them.
func (w *bridgeWorld) begin(rdb redis.UniversalClient, ledger BridgeLedger, cfg *BridgeConfig, change ...func(*Bridge)) *bridgeRun {
	w.Helper()
	c := BridgeConfig{}
	if cfg != nil {
		c = *cfg
	}
	c.Logger = slog.New(slog.NewTextHandler(w.log, nil))
	b, err := NewBridge(rdb, ledger, &c)
	if err != nil {
		w.Fatal(err)
	}
	b.times.tell, b.times.beat, b.times.backoff = 10*time.Millisecond, 50*time.Millisecond, 200*time.Millisecond
	for _, f := range change {
		f(b)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.Errorf("run: %v", err)
		}
	})
	w.Cleanup(stop)
	return &bridgeRun{b, w, stop}
}

// start is begin with the world's own parts; the bridge is subscribed.
func (w *bridgeWorld) start(cfg *BridgeConfig, change ...func(*Bridge)) *bridgeRun {
	w.Helper()
	r := w.begin(w.rdb, w.db, cfg, change...)
	r.ready()
	return r
}

func (r *bridgeRun) ready() {
	r.w.Helper()
	r.w.eventually("the bridge is ready", func() bool { return r.Ready(r.w.Context()) == nil })
}

func (w *bridgeWorld) eventually(what string, ok func() bool) {
	w.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(60 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			w.Fatalf("in 60 s it did not happen that %s; the log:\n%s", what, w.log)
		}
	}
}

// sum adds up what some bridges have counted on all channels.
func sum(rs ...*bridgeRun) (all tasks.BridgeChannel) {
	for _, r := range rs {
		for _, c := range r.Stats() {
			all = all.Plus(c)
		}
	}
	return all
}

// settled is how many messages were dealt with.
func settled(c tasks.BridgeChannel) int64 {
	return c.Submitted + c.Existing + c.Quarantined + c.Unkept + c.Lost + c.ShadowFound + c.ShadowMissing
}

func (r *bridgeRun) dealtWith(n int64) {
	r.w.Helper()
	r.w.eventually(fmt.Sprintf("%d messages are dealt with", n), func() bool { return settled(sum(r)) >= n })
}

const oldPrefix = "interview:messages:"

func (w *bridgeWorld) publish(channel, body string) (receivers int64) {
	w.Helper()
	n, err := w.rdb.Publish(w.Context(), channel, body).Result()
	if err != nil {
		w.Fatal(err)
	}
	return n
}

// old is what the original publishes.
func old(t MessageType, user, report int64) (channel, body string) {
	return oldPrefix + string(t), fmt.Sprintf(`{"type":"%s","payload":{"report_id":%d,"user_id":%d}}`, t, report, user)
}

// publishMany sends both types for each of the reports from, … to-1 at once.
func (w *bridgeWorld) publishMany(from, to int64) {
	w.Helper()
	for at := from; at < to; at += 500 {
		pipe := w.rdb.Pipeline()
		for n := at; n < min(to, at+500); n++ {
			for _, t := range []MessageType{MessageTypeEvaluationReport, MessageTypeTopicEvaluation} {
				pipe.Publish(w.Context(), oldPrefix+string(t), second(old(t, n%20+1, n)))
			}
		}
		if _, err := pipe.Exec(w.Context()); err != nil {
			w.Fatal(err)
		}
	}
}

func second(_, body string) string { return body }

func (w *bridgeWorld) jobs() (all []tasks.Job) {
	w.Helper()
	f := tasks.Filter{Limit: 500}
	for {
		page, err := w.db.List(w.Context(), f)
		if err != nil {
			w.Fatal(err)
		}
		all = append(all, page.Jobs...)
		if f.Cursor = page.Next; f.Cursor == "" {
			return all
		}
	}
}

// wantOneJobEach fails unless there are n jobs, each key once.
func (w *bridgeWorld) wantOneJobEach(n int) {
	w.Helper()
	keys := map[string]bool{}
	jobs := w.jobs()
	for _, j := range jobs {
		if j.Revision != 1 {
			w.Errorf("there is a revision %d", j.Revision)
		}
		keys[fmt.Sprint(j.Kind, j.UserID, j.ReportID)] = true
	}
	if len(jobs) != n || len(keys) != n {
		w.Fatalf("%d jobs with %d keys, want %d", len(jobs), len(keys), n)
	}
}

func (w *bridgeWorld) quarantine() []tasks.Quarantined {
	w.Helper()
	all, _, err := w.db.InQuarantine(w.Context(), false, 100_000)
	if err != nil {
		w.Fatal(err)
	}
	return all
}

func (w *bridgeWorld) put(user, report int64) {
	w.Helper()
	_, err := w.db.PutInterview(w.Context(), evaluation.Interview{UserID: user, ReportID: report, Language: "en", Answers: []evaluation.Answer{{Question: "q", Answer: "a"}}}, "test")
	if err != nil {
		w.Fatal(err)
	}
}

// faulty is the world's ledger with faults in front of it.
type faulty struct {
	BridgeLedger
	mu     sync.Mutex
	fail   error
	refuse func(tasks.Payload) error
}

func (f *faulty) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = err
}

func (f *faulty) failing() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fail
}

func (f *faulty) AcceptMany(ctx context.Context, rs []tasks.Request, who string) []tasks.Accepting {
	err := f.failing()
	for _, r := range rs {
		if f.refuse != nil && err == nil {
			err = f.refuse(r.Payload)
		}
	}
	if err == nil {
		return f.BridgeLedger.AcceptMany(ctx, rs, who)
	}
	out := make([]tasks.Accepting, len(rs))
	for i := range out {
		out[i].Err = err
	}
	return out
}

func (f *faulty) QuarantineMany(ctx context.Context, qs []tasks.Quarantined, bodies [][]byte, most int) (int, error) {
	if err := f.failing(); err != nil {
		return 0, err
	}
	return f.BridgeLedger.QuarantineMany(ctx, qs, bodies, most)
}

func (f *faulty) CountBridge(ctx context.Context, sums []tasks.BridgeChannel, away time.Duration) error {
	if err := f.failing(); err != nil {
		return err
	}
	return f.BridgeLedger.CountBridge(ctx, sums, away)
}
