package mq_test

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"testing"

	"evalq/mq"
	"evalq/server"
	"evalq/tasks"
	"evalq/worker"
)

// through sends the two types to an evalq with these handlers.
func through(t *testing.T, cfg *server.Config) {
	t.Helper()
	alone(t)
	_, rdb := startRedis(t)
	mq.UseClient(evalqWith(t, cfg))
	mq.InitMessageQueue(opened(t, quick(rdb)))
}

func TestD22BothEvaluationsOfAReportPayForAnAnswerOnce(t *testing.T) {
	t.Parallel()
	var calls, running atomic.Int64
	ended := make(chan tasks.Kind, 10)
	evaluate := func(ctx context.Context, job tasks.Job) (json.RawMessage, error) {
		out, _, err := worker.SharedCheckpoint(ctx, "answer 1", func(context.Context) (json.RawMessage, error) {
			if running.Add(1) > 1 {
				t.Error("two evaluate the same answer at once")
			}
			defer running.Add(-1)
			calls.Add(1)
			return json.RawMessage(`{"score":80}`), nil
		})
		if err == nil {
			ended <- job.Kind
		}
		return out, err
	}
	through(t, &server.Config{Handlers: map[tasks.Kind]worker.Handler{tasks.KindEvaluationReport: evaluate, tasks.KindTopicEvaluation: evaluate}})
	must(t, mq.PublishEvaluationReport(t.Context(), 7, 42), mq.PublishTopicEvaluation(t.Context(), 7, 42))
	if a, b := receive(t, "the end of one", ended), receive(t, "the end of the other", ended); a == b {
		t.Errorf("%s ended twice", a)
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("%d calls for one answer", n)
	}
}

func TestD26OneUsersBatchDoesNotKeepAnotherUserWaiting(t *testing.T) {
	t.Parallel()
	const batch = 60
	users, first, goOn := make(chan int64, 2*batch), make(chan struct{}, 2*batch), make(chan struct{})
	through(t, &server.Config{Slots: 1, Handlers: map[tasks.Kind]worker.Handler{
		tasks.KindEvaluationReport: func(_ context.Context, job tasks.Job) (json.RawMessage, error) {
			first <- struct{}{}
			<-goOn
			users <- job.UserID
			return json.RawMessage(`{}`), nil
		},
	}})
	for n := range uint64(batch) {
		must(t, mq.PublishEvaluationReport(t.Context(), 1, n+1))
	}
	receive(t, "the first evaluation", first)
	must(t, mq.PublishEvaluationReport(t.Context(), 2, 1000))
	close(goOn)
	for place := 1; receive(t, "an evaluation", users) != 2; place++ {
		if place > batch/2 {
			t.Fatalf("after %d evaluations of one user the other still waits", place)
		}
	}
}
