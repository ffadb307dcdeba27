package mq_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"evalq/client"
	"evalq/internal/ledger"
	"evalq/mq"
	"evalq/tasks"
)

// noContext is a nil context that the linter does not see.
var noContext context.Context

func wantInvalid(t *testing.T, what string, err error) {
	t.Helper()
	var invalid *tasks.InvalidError
	if !errors.As(err, &invalid) {
		t.Errorf("%s: %v", what, err)
	}
}

func TestAQueueWithoutAContextAHandlerOrAMessageAnswersWithAnError(t *testing.T) {
	t.Parallel()
	_, rdb := startRedis(t)
	ok := func(context.Context, *mq.Message) error { return nil }
	memory := mq.NewInMemoryQueue(-1)
	for what, q := range map[string]mq.MessageQueue{
		"in Redis": mq.NewRedisQueue(rdb), "opened": opened(t, quick(rdb)), "in memory": memory, "a zero in memory": &mq.InMemoryQueue{},
	} {
		wantInvalid(t, what+": publish without a context", q.Publish(noContext, &mq.Message{Type: "t"}))
		wantInvalid(t, what+": publish nothing", q.Publish(t.Context(), nil))
		wantInvalid(t, what+": publish a zero message", q.Publish(t.Context(), &mq.Message{}))
		wantInvalid(t, what+": publish no ids", q.Publish(t.Context(), &mq.Message{Type: mq.MessageTypeEvaluationReport}))
		wantInvalid(t, what+": subscribe without a context", q.Subscribe(noContext, ok))
		wantInvalid(t, what+": subscribe without a handler", q.Subscribe(t.Context(), nil))
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if err := errors.Join(q.Close(), q.Close()); err != nil {
					t.Errorf("%s: close: %v", what, err)
				}
			})
		}
		all.Wait()
		if err := q.Subscribe(t.Context(), ok); !errors.Is(err, mq.ErrClosed) {
			t.Errorf("%s: subscribe after Close: %v", what, err)
		}
	}
	if err := memory.Publish(t.Context(), &mq.Message{Type: "t"}); !errors.Is(err, mq.ErrClosed) {
		t.Errorf("publish after Close: %v", err)
	}
	for what, q := range map[string]mq.MessageQueue{
		"a nil queue in memory": (*mq.InMemoryQueue)(nil), "a nil queue in Redis": (*mq.RedisQueue)(nil),
		"a zero queue in Redis": &mq.RedisQueue{}, "a queue on nil": mq.NewRedisQueue(nil),
	} {
		if q.Publish(t.Context(), &mq.Message{Type: "t"}) == nil || q.Subscribe(t.Context(), ok) == nil {
			t.Errorf("%s works", what)
		}
		if r, ready := q.(interface{ Ready(context.Context) error }); !ready || r.Ready(t.Context()) == nil {
			t.Errorf("%s is ready", what)
		}
		if err := errors.Join(q.Close(), q.Close()); err != nil {
			t.Errorf("%s: close: %v", what, err)
		}
	}
	none := (*mq.InMemoryQueue)(nil)
	if none.Dead() != nil || none.Left() != nil || (*mq.RedisQueue)(nil).GetRedisClient() != nil {
		t.Error("no queue has something in it")
	}
	_, err := mq.Open(noContext, nil)
	wantInvalid(t, "open without a context", err)
}

func TestTheOriginalFunctionsWithNothingAreErrors(t *testing.T) {
	alone(t)
	for range 2 { // without a queue, and then with one
		wantInvalid(t, "report", mq.PublishEvaluationReport(noContext, 1, 2))
		wantInvalid(t, "topic", mq.PublishTopicEvaluation(noContext, 1, 2))
		wantInvalid(t, "consumer", mq.StartConsumer(noContext))
		wantInvalid(t, "ready", mq.Ready(noContext))
		mq.InitMessageQueue(mq.NewInMemoryQueue(1))
	}
	var h *mq.ConsumerHandler
	wantInvalid(t, "handle without a context", h.HandleMessage(noContext, &mq.Message{}))
	for what, err := range map[string]error{
		"nothing": h.HandleMessage(t.Context(), nil), "a zero message": h.HandleMessage(t.Context(), &mq.Message{}),
		"no ids": h.HandleMessage(t.Context(), &mq.Message{Type: mq.MessageTypeTopicEvaluation}),
	} {
		if err == nil {
			t.Errorf("%s was handled", what)
		}
	}
	mq.UseClient(&client.Client{})
	if err := h.HandleMessage(t.Context(), &mq.Message{Type: mq.MessageTypeTopicEvaluation, Payload: map[string]any{"user_id": 1, "report_id": 2}}); err == nil {
		t.Error("a client that nobody opened took a message")
	}
	if mq.Handler[int](nil) != nil || mq.ErrorOnly[int](nil) != nil {
		t.Error("a handler was made of nothing")
	}
	if _, err := mq.Handler(func(context.Context, uint, uint64) (json.RawMessage, error) { return nil, nil })(t.Context(), tasks.Job{}); err != nil {
		t.Error(err)
	}
}

func TestABridgeThatNothingWasGivenToAnswersWithAnError(t *testing.T) {
	t.Parallel()
	_, rdb := startRedis(t)
	for what, err := range map[string]error{
		"no client":     third(mq.NewBridge(nil, &ledger.Ledger{}, nil)),
		"a nil client":  third(mq.NewBridge((*redis.Client)(nil), &ledger.Ledger{}, nil)),
		"no ledger":     third(mq.NewBridge(rdb, nil, nil)),
		"a nil ledger":  third(mq.NewBridge(rdb, (*ledger.Ledger)(nil), nil)),
		"a nil bridge":  (*mq.Bridge)(nil).Run(t.Context()),
		"a zero bridge": (&mq.Bridge{}).Run(t.Context()),
		"a zero ready":  (&mq.Bridge{}).Ready(t.Context()),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if (&mq.Bridge{}).Stats() != nil {
		t.Error("no bridge has counted")
	}
	b, err := mq.NewBridge(rdb, &ledger.Ledger{}, nil)
	must(t, err)
	wantInvalid(t, "run without a context", b.Run(noContext))
	_, err = mq.Replay(noContext, &ledger.Ledger{}, nil, 0, 0, "")
	wantInvalid(t, "replay without a context", err)
	if _, err := mq.Replay(t.Context(), nil, nil, 0, 0, ""); err == nil {
		t.Error("a message was replayed into no ledger")
	}
	_, err = mq.Replay(t.Context(), &ledger.Ledger{}, nil, 0, 0, "")
	wantInvalid(t, "replay nothing", err)
}

func third(_ *mq.Bridge, err error) error { return err }
