package worker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"evalq/internal/redistest"
	"evalq/tasks"
	"evalq/worker"
)

// tally counts the calls of a handler by report.
type tally struct {
	mu    sync.Mutex
	calls map[int64]int
}

func (c *tally) handler(_ context.Context, job tasks.Job) (json.RawMessage, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls == nil {
		c.calls = map[int64]int{}
	}
	c.calls[job.ReportID]++
	return answer(job.ReportID), nil
}

// wantOnce fails unless every job has succeeded, by one call.
func (c *tally) wantOnce(w *world, jobs []tasks.Job) {
	w.t.Helper()
	for _, j := range jobs {
		w.await(j.ID, tasks.Succeeded)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, j := range jobs {
		if n := c.calls[j.ReportID]; n != 1 {
			w.t.Errorf("report %d was evaluated %d times", j.ReportID, n)
		}
	}
}

func (w *world) submitMany(from int64, n int) (jobs []tasks.Job) {
	w.t.Helper()
	for i := range int64(n) {
		jobs = append(jobs, w.submit(from+i))
	}
	return jobs
}

func TestWhatIsSubmittedWhileNoWorkerIsThereIsEvaluatedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var c tally
	jobs := w.submitMany(1, 10)
	stop := w.serve(c.handler)
	c.wantOnce(w, jobs)
	if err := stop(); err != nil { // as a deployment does
		t.Fatal(err)
	}
	jobs = append(jobs, w.submitMany(101, 10)...)
	w.serve(c.handler)
	c.wantOnce(w, jobs)
}

func TestWhatIsSubmittedWhileAWorkerStartsIsEvaluatedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var c tally
	var jobs []tasks.Job
	for round := range int64(5) {
		var wg sync.WaitGroup
		var stop func() error
		wg.Go(func() { stop = w.serve(c.handler) })
		jobs = append(jobs, w.submitMany(round*100+1, 10)...)
		wg.Wait()
		w.await(jobs[len(jobs)-1].ID, tasks.Succeeded)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
	w.serve(c.handler)
	c.wantOnce(w, jobs)
}

func TestWhatIsSubmittedWhileConnectionsBreakIsEvaluatedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var c tally
	w.serve(c.handler)
	var jobs []tasks.Job
	for round := range int64(20) {
		jobs = append(jobs, w.submitMany(round*100+1, 10)...)
		for _, kind := range []string{"normal", "pubsub"} {
			if err := w.rdb.Do(t.Context(), "CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes").Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.wantOnce(w, jobs)
}

func TestWhatIsSubmittedWhileRedisRestartsIsEvaluatedOnce(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]redistest.Option{"and keeps its data": {redistest.WithAOF()}, "and comes back empty": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil, options...)
			var c tally
			w.serve(c.handler)
			var jobs []tasks.Job
			for round := range int64(3) {
				jobs = append(jobs, w.submitMany(round*100+1, 10)...)
				w.redis.Kill()
				jobs = append(jobs, w.submitMany(round*100+51, 10)...)
				w.redis.Restart()
			}
			c.wantOnce(w, jobs)
		})
	}
}

// moody is a ledger that does not take a result at first, as one does whose disk
// is full or whose database restarts.
type moody struct {
	worker.Ledger
	refuse atomic.Int32
}

func (m *moody) Complete(ctx context.Context, f tasks.Fence, fin tasks.Finish) error {
	if m.refuse.Add(-1) >= 0 {
		return fmt.Errorf("moody: %w", tasks.ErrUnavailable)
	}
	return m.Ledger.Complete(ctx, f, fin)
}

func TestAResultThatTheLedgerRefusesAtFirstIsKeptAndStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var c tally
	w.cfg.Handlers[kind] = c.handler
	ledger := &moody{Ledger: w.ledger.Ledger}
	ledger.refuse.Store(4)
	s, err := worker.New(w.rdb, ledger, &w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.background(s.Run)
	j := w.submit(42)
	c.wantOnce(w, []tasks.Job{j})
	if got := w.await(j.ID, tasks.Succeeded); string(got.Result) != "42" || got.Charged != 0 {
		t.Fatalf("stored %s, %d charged", got.Result, got.Charged)
	}
}

// TestAStopInTheMiddleKeepsWhatWasPaidFor: the worker is told to stop in the
// second of two steps.
func TestAStopInTheMiddleKeepsWhatWasPaidFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.cfg.DrainTimeout = 10 * time.Millisecond
	var first, second atomic.Int32
	begun := make(chan struct{}, 2)
	h := func(ctx context.Context, _ tasks.Job) (json.RawMessage, error) {
		if _, err := worker.Checkpoint(ctx, "first", func(context.Context) (json.RawMessage, error) {
			first.Add(1)
			return answer(1), nil
		}); err != nil {
			return nil, err
		}
		return worker.Checkpoint(ctx, "second", func(ctx context.Context) (json.RawMessage, error) {
			if second.Add(1) == 1 {
				begun <- struct{}{}
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return answer(2), nil
		})
	}
	stop := w.serve(h)
	j := w.submit(42)
	<-begun
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.serve(h)
	if got := w.await(j.ID, tasks.Succeeded); first.Load() != 1 || second.Load() != 2 || got.Charged != 0 || got.Deaths != 0 {
		t.Fatalf("steps were paid %d and %d times; %d charged, %d deaths", first.Load(), second.Load(), got.Charged, got.Deaths)
	}
}

// hush is a ledger whose answers to Begin come as the test says.
type hush struct {
	worker.Ledger
	errs  []error // of the first answers, which are lost
	mu    sync.Mutex
	begun int
}

func (h *hush) Begin(ctx context.Context, d tasks.Delivery) (tasks.Claim, error) {
	h.mu.Lock()
	n := h.begun
	h.begun++
	h.mu.Unlock()
	if n > 0 && n < len(h.errs) { // it could not even be asked
		return tasks.Claim{}, h.errs[n]
	}
	claim, err := h.Ledger.Begin(ctx, d)
	if n < len(h.errs) {
		return tasks.Claim{}, h.errs[n]
	}
	return claim, err
}

func TestAnAttemptWhoseBeginningWasNotAnsweredRunsAtOnceThoughTheLedgerIsAwayMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var c tally
	w.cfg.Handlers[kind] = c.handler
	l := &hush{Ledger: w.ledger.Ledger, errs: []error{tasks.ErrOutcomeUnknown, tasks.ErrUnavailable, tasks.ErrUnavailable}}
	s, err := worker.New(w.rdb, l, &w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.background(s.Run)
	j := w.submit(1)
	c.wantOnce(w, []tasks.Job{j})
	if a := w.attempts(j.ID); len(a) != 1 {
		t.Errorf("it took %d attempts", len(a))
	}
}

// stalled is a ledger whose answer to the first claim stays away until the test
// lets it through.
type stalled struct {
	worker.Ledger
	claimed, through chan struct{}
	once             sync.Once
}

func (s *stalled) ClaimStep(ctx context.Context, f tasks.Fence, scope, name string) (tasks.Checkpoint, error) {
	c, err := s.Ledger.ClaimStep(ctx, f, scope, name)
	s.once.Do(func() {
		close(s.claimed)
		<-s.through
	})
	return c, err
}

func TestAWorkerThatLearnsLateOfItsClaimDoesNotPayForWhatAnotherHasPaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var paid atomic.Int64
	handler := func(ctx context.Context, _ tasks.Job) (json.RawMessage, error) {
		return worker.Checkpoint(ctx, "step", func(context.Context) (json.RawMessage, error) { return answer(paid.Add(1)), nil })
	}
	w.cfg.Handlers[kind] = handler
	w.cfg.Slots = 1
	l := &stalled{Ledger: w.ledger.Ledger, claimed: make(chan struct{}), through: make(chan struct{})}
	first, err := worker.New(w.rdb, l, &w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	first.SetFresh(time.Nanosecond)
	stop := w.background(first.Run)
	j := w.submit(1)
	<-l.claimed
	if _, err := w.ledger.Bury(t.Context(), first.ID()); err != nil {
		t.Fatal(err)
	}
	w.serve(handler)
	w.await(j.ID, tasks.Succeeded)
	close(l.through)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if n := paid.Load(); n != 1 {
		t.Errorf("the step was paid for %d times", n)
	}
}
