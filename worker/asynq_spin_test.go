package worker_test

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"evalq/internal/asynqtest"
	"evalq/internal/redistest"
	"evalq/tasks"
)

// scripts counts the scripts that a client asks Redis to run.
type scripts struct{ n atomic.Int64 }

func (s *scripts) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s *scripts) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (s *scripts) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "evalsha" {
			s.n.Add(1)
		}
		return next(ctx, cmd)
	}
}

// fill makes a Redis refuse every write, and counts from then on.
func (s *scripts) fill(t *testing.T, rdb *redis.Client) (since func() float64) {
	t.Helper()
	rdb.AddHook(s)
	if err := rdb.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	s.n.Store(0)
	began := time.Now()
	return func() float64 { return float64(s.n.Load()) / time.Since(began).Seconds() }
}

func TestAsynqAsksAFullRedisForWorkWithoutAPause(t *testing.T) {
	t.Parallel()
	var plainRate float64
	t.Run("the defect", func(t *testing.T) {
		rdb := redistest.Start(t).Client(t)
		plain := asynqtest.Start(t, rdb, asynq.Config{}, func(context.Context, *asynq.Task) error { return nil })
		var s scripts
		rate := s.fill(t, rdb)
		plain.AwaitLog("Dequeue error")
		asynqtest.Eventually(t, "it has asked a thousand times", func() bool { return s.n.Load() > 1000 })
		plainRate = rate()
	})
	t.Run("the cure", func(t *testing.T) {
		w := newWorld(t, nil)
		said := listen(w)
		stop := w.serve(func(context.Context, tasks.Job) (json.RawMessage, error) { return answer(1), nil })
		w.await(w.submit(1).ID, tasks.Succeeded)
		var s scripts
		rate := s.fill(t, w.rdb)
		j := w.submit(2)
		began := time.Now()
		eventually(t, "Redis has been full for five seconds, and Asynq has complained", func() bool {
			return said.count("Dequeue error") >= 1 && time.Since(began) > 5*time.Second
		})
		if ours := rate(); 10*ours > plainRate {
			t.Errorf("%.0f scripts a second, where Asynq alone makes %.0f", ours, plainRate)
		}
		if err := w.rdb.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
			t.Fatal(err)
		}
		w.await(j.ID, tasks.Succeeded)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}
