package mqtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"evalq/mq"
)

// closesItself: the handler that calls Close is one of those that Close waits for.
func closesItself(t *testing.T, open Open) {
	cfg := quick()
	cfg.DrainTimeout = 10 * time.Millisecond
	q := open(t, cfg)()
	closed, ended := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(ended)
		_ = q.Subscribe(context.Background(), func(context.Context, *mq.Message) error {
			closed <- q.Close()
			return nil
		})
	}()
	publish(t, q, other(1))
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("Close waits for its caller")
	}
	wait(t, "the end of Subscribe", ended)
}

// publishesItself: each handler but the last makes a message for the next.
func publishesItself(t *testing.T, open Open) {
	cfg := quick()
	cfg.Buffer, cfg.Concurrency = 1, 1
	q := open(t, cfg)()
	c := newTally()
	subscribe(t, q, func(ctx context.Context, m *mq.Message) error {
		n := c.add(number(m))
		if n > 1 {
			return errors.New("it came twice")
		}
		if number(m) < 20 {
			return q.Publish(ctx, other(number(m)+1))
		}
		return nil
	})
	publish(t, q, other(1))
	c.await(t, "the last message", func(seen map[int]int, _ int) bool { return seen[20] == 1 })
	if n := c.of(10); n != 1 {
		t.Errorf("one came %d times", n)
	}
}
