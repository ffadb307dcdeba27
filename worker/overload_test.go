package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"evalq/tasks"
)

func TestThreeWorkersEvaluateEachJobOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var c tally
	for range 3 {
		w.serve(c.handler)
	}
	c.wantOnce(w, w.submitMany(1, 100))
}

func TestFiveThousandJobsRunAFewAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	const slots, jobs = 4, 5000
	w.cfg.Slots = slots
	requests := make([]tasks.Request, jobs)
	for i := range requests {
		requests[i].Payload = tasks.Custom{Name: kind, UserID: int64(i%50) + 1, ReportID: int64(i) + 1}
	}
	for _, a := range w.ledger.AcceptMany(t.Context(), requests, "test") {
		if a.Err != nil {
			t.Fatal(a.Err)
		}
	}
	var g gauge
	before, busiest := runtime.NumGoroutine(), atomic.Int64{}
	w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) {
		defer g.enter()()
		busiest.Store(max(busiest.Load(), int64(runtime.NumGoroutine())))
		return answer(1), nil
	})
	// The rest is no different: every slot has been taken many times.
	eventually(t, "first hundred are done", func() bool { return g.all.Load() >= 100 })
	if g.most.Load() > slots {
		t.Errorf("%d handlers ran at once on %d slots", g.most.Load(), slots)
	}
	// Other tests run beside this one; a goroutine a job would be thousands.
	if more := busiest.Load() - int64(before); more > jobs/10 {
		t.Errorf("%d goroutines came with the jobs", more)
	}
}

func TestWhatAHandlerDoesToItsJobTouchesNoOtherAttempt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var calls atomic.Int32
	w.serve(func(_ context.Context, job tasks.Job) (json.RawMessage, error) {
		seen := string(job.Data)
		for i := range job.Data {
			job.Data[i] = 'x'
		}
		if calls.Add(1) < 3 {
			return nil, errors.New("again")
		}
		return answer(seen), nil
	})
	j, _, err := w.ledger.Accept(t.Context(), tasks.Request{Payload: tasks.Custom{Name: kind, UserID: 7, ReportID: 42, Data: json.RawMessage(`{"file":"cv.pdf"}`)}}, "test")
	if err != nil {
		t.Fatal(err)
	}
	if got := w.await(j.ID, tasks.Succeeded); string(got.Result) != `"{\"file\":\"cv.pdf\"}"` || string(got.Data) != `{"file":"cv.pdf"}` {
		t.Fatalf("the last attempt saw %s of %s", got.Result, got.Data)
	}
}

func TestWhileRedisIsAwayAWorkerNeitherSpinsNorFloodsItsLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	said := listen(w)
	w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) { return answer(1), nil })
	w.await(w.submit(1).ID, tasks.Succeeded)
	w.redis.Kill()
	began := time.Now()
	eventually(t, "Asynq has complained", func() bool { return said.count("msg=asynq") >= 1 })
	if n, per := said.lines(), time.Since(began).Seconds(); float64(n) > 20+20*per {
		t.Fatalf("%d lines in %.1f s", n, per)
	}
	w.redis.Restart()
	w.await(w.submit(2).ID, tasks.Succeeded)
	if n, per := said.count("msg=asynq"), time.Since(began).Seconds(); float64(n) > 10+per {
		t.Errorf("%d lines of Asynq's in %.1f s", n, per)
	}
}

func (w *words) count(text string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Count(w.text.String(), text)
}

func (w *words) lines() int { return w.count("\n") }
