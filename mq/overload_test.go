package mq_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"evalq/mq"
	"evalq/tasks"
)

func TestD11WhatWasNotPublishedBeforeAKillIsFoundByItsInterview(t *testing.T) {
	t.Parallel()
	c := evalq(t)
	_, err := c.PutInterview(t.Context(), 42, []byte(`{"user_id":7,"answers":[{"question":"What is a map?","answer":"A hash table","reference":"A hash table"}]}`))
	must(t, err)
	// Here the publisher was killed.
	found, err := c.Backfill(t.Context(), tasks.Backfill{})
	must(t, err)
	for _, kind := range []tasks.Kind{tasks.KindEvaluationReport, tasks.KindTopicEvaluation} {
		if _, err := c.Find(t.Context(), kind, 7, 42); err != nil {
			t.Errorf("%s: %v; backfill answered %+v", kind, err, found)
		}
	}
}

func TestD18AndD19LookingAtAResultStartsNothing(t *testing.T) {
	t.Parallel()
	alone(t)
	_, rdb := startRedis(t)
	c := evalq(t)
	mq.UseClient(c)
	mq.InitMessageQueue(opened(t, quick(rdb)))
	look := func() tasks.Job {
		j, err := c.Find(t.Context(), tasks.KindEvaluationReport, 7, 42)
		if err != nil && !errors.Is(err, tasks.ErrNotFound) {
			t.Fatal(err)
		}
		return j
	}
	for range 5 {
		look()
	}
	must(t, mq.PublishEvaluationReport(t.Context(), 7, 42))
	first := look().ID
	for range 5 {
		if id := look().ID; id != first {
			t.Errorf("jobs %s and %s", first, id)
		}
	}
	page, err := c.List(t.Context(), tasks.Filter{})
	must(t, err)
	if len(page.Jobs) != 1 {
		t.Errorf("%d jobs", len(page.Jobs))
	}
}

func TestD20HandlersOfThreeSubscriptionsEachHaveAMessageOfTheirOwn(t *testing.T) {
	t.Parallel()
	alone(t)
	q := mq.NewInMemoryQueue(0)
	t.Cleanup(func() { must(t, q.Close()) })
	shared := &mq.Message{Type: "t", Payload: map[string]any{"n": 0}}
	handled := make(chan any, 30)
	for range 3 {
		background(t, func(ctx context.Context) error {
			return q.Subscribe(ctx, func(_ context.Context, m *mq.Message) error {
				handled <- m.Payload["n"]
				m.Payload["n"] = "changed"
				return nil
			})
		})
	}
	for range 30 {
		must(t, q.Publish(t.Context(), shared))
	}
	for range 30 {
		if n := receive(t, "a message", handled); n != 0.0 {
			t.Errorf("a handler found %v", n)
		}
	}
}

func TestD21TheHandlerOfAComponentThatHasStoppedIsNotCalled(t *testing.T) {
	t.Parallel()
	_, rdb := startRedis(t)
	q := opened(t, quick(rdb))
	a, b := make(chan struct{}, 100), make(chan struct{}, 100)
	count := func(c chan struct{}) func(context.Context) error {
		return func(ctx context.Context) error {
			return q.Subscribe(ctx, func(context.Context, *mq.Message) error { c <- struct{}{}; return nil })
		}
	}
	stop, _ := background(t, count(a))
	must(t, q.Publish(t.Context(), &mq.Message{Type: "t"}))
	receive(t, "a message", a)
	_ = stop()
	background(t, count(b))
	for range 20 {
		must(t, q.Publish(t.Context(), &mq.Message{Type: "t"}))
	}
	for range 20 {
		receive(t, "a message at the second component", b)
	}
	if len(a) > 0 {
		t.Error("the first component was called")
	}
}

func TestD23AndD24APanicOfAnEvaluationIsAFailedTryAndTheOthersGoOn(t *testing.T) {
	t.Parallel()
	_, s := onRedisAlone(t)
	var tries atomic.Int64
	s.fail = func(c call) error {
		if c.report == 1 && tries.Add(1) == 1 {
			var dimensions []*struct{ Score int } // as of "dimensions":[null]
			dimensions = append(dimensions, nil)
			_ = dimensions[0].Score
		}
		return nil
	}
	consume(t)
	must(t, mq.PublishEvaluationReport(t.Context(), 7, 1), mq.PublishEvaluationReport(t.Context(), 7, 2))
	s.await(t, 3)
	s.none(t)
}

func TestD25FiveThousandMessagesAreTenEvaluationsAtATime(t *testing.T) {
	t.Parallel()
	_, s := onRedisAlone(t)
	var running, most atomic.Int64
	s.fail = func(call) error {
		n := running.Add(1)
		defer running.Add(-1)
		for {
			if old := most.Load(); n <= old || most.CompareAndSwap(old, n) {
				return nil
			}
		}
	}
	for n := range uint64(5000) {
		must(t, mq.PublishEvaluationReport(t.Context(), 7, n+1))
	}
	consume(t)
	s.await(t, 5000)
	if n := most.Load(); n > 10 {
		t.Errorf("%d at once", n)
	}
}

func TestD27ClosingTwiceAndPublishingAfterItDoNotPanic(t *testing.T) {
	t.Parallel()
	memory := mq.NewInMemoryQueue(0)
	must(t, memory.Close(), memory.Close())
	for range 100 {
		if err := memory.Publish(t.Context(), &mq.Message{Type: "t"}); !errors.Is(err, mq.ErrClosed) {
			t.Fatalf("publish after Close in memory: %v", err)
		}
	}
	_, rdb := startRedis(t)
	inRedis := mq.NewRedisQueue(rdb)
	must(t, inRedis.Close(), inRedis.Close(), inRedis.Publish(t.Context(), &mq.Message{Type: "t"}))
}

func TestD33AHandlerThatIgnoresItsLimitKeepsItsSlotAndOthersGoOn(t *testing.T) {
	t.Parallel()
	_, rdb := startRedis(t)
	cfg := quick(rdb)
	cfg.Timeout, cfg.Concurrency = 10*time.Millisecond, 2
	q := opened(t, cfg)
	stuck, free := make(chan struct{}), make(chan struct{}, 10)
	release := make(chan struct{})
	background(t, func(ctx context.Context) error {
		return q.Subscribe(ctx, func(ctx context.Context, m *mq.Message) error {
			if m.Payload["stuck"] == true {
				close(stuck)
				<-release // and not ctx.Done()
				return nil
			}
			free <- struct{}{}
			return nil
		})
	})
	must(t, q.Publish(t.Context(), &mq.Message{Type: "t", Payload: map[string]any{"stuck": true}}))
	receive(t, "the stuck handler", stuck)
	for range 5 {
		must(t, q.Publish(t.Context(), &mq.Message{Type: "t"}))
		receive(t, "a message beside it", free)
	}
	close(release)
}

func TestD35IDsThatNameNobodyAreRefused(t *testing.T) {
	t.Parallel()
	rdb, s := onRedisAlone(t)
	for _, id := range []any{-1, 0, 1.9, 42.7, "-1", "1.9", "", nil, true, uint64(1 << 63)} {
		for _, m := range []map[string]any{{"user_id": id, "report_id": 42}, {"user_id": 7, "report_id": id}} {
			var bad *tasks.InvalidError
			if err := mq.GetMessageQueue().Publish(t.Context(), &mq.Message{Type: mq.MessageTypeEvaluationReport, Payload: m}); !errors.As(err, &bad) {
				t.Errorf("%v: %v", m, err)
			}
		}
	}
	if n, err := rdb.DBSize(t.Context()).Result(); n != 0 || err != nil {
		t.Errorf("Redis has %d keys, %v", n, err)
	}
	if len(s.calls) != 0 {
		t.Error("something was evaluated")
	}
}
