// Package mqtest checks that a message queue keeps the promises of package mq. Each
// implementation passes all of it.
package mqtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"evalq/mq"
)

// Open makes a place for messages and returns what opens a queue on it. Each call
// of that is as if from another process, as far as the kind of queue can have more
// than one. The queues go by cfg, of which Kind and the fields that name a place are
// empty.
type Open func(t *testing.T, cfg mq.Config) (queue func() mq.MessageQueue)

// Run checks all promises, each with a place of its own.
func Run(t *testing.T, open Open) {
	for _, p := range promises {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			p.check(t, open)
		})
	}
}

// patience is how long something that has to happen may take on a busy machine.
const patience = 60 * time.Second

// quick are settings that keep a test short.
func quick() mq.Config {
	return mq.Config{Pause: 5 * time.Millisecond, Attempts: 3, Logger: slog.New(slog.DiscardHandler)}
}

// other is a message of a type that is not evalq's.
func other(n int) *mq.Message {
	return &mq.Message{Type: "resume_parse", Payload: map[string]any{"n": n}}
}

func number(m *mq.Message) int {
	f, _ := m.Payload["n"].(float64)
	return int(f)
}

func publish(t *testing.T, q mq.MessageQueue, ms ...*mq.Message) {
	t.Helper()
	for _, m := range ms {
		if err := q.Publish(context.Background(), m); err != nil {
			t.Fatal(err)
		}
	}
}

// subscribe starts a Subscribe call. Stop ends it and waits, and gives its error.
func subscribe(t *testing.T, q mq.MessageQueue, handler mq.MessageHandler) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- q.Subscribe(ctx, handler) }()
	var once sync.Once
	var result error
	stop = func() error {
		once.Do(func() {
			cancel()
			select {
			case result = <-ended:
			case <-time.After(patience):
				result = errors.New("Subscribe did not end with its context")
			}
		})
		return result
	}
	t.Cleanup(func() {
		if err := stop(); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, mq.ErrClosed) {
			t.Error(err)
		}
	})
	return stop
}

// tally counts arrivals by a message's number.
type tally struct {
	mu    sync.Mutex
	seen  map[int]int
	total int
	grown chan struct{}
}

func newTally() *tally { return &tally{seen: map[int]int{}, grown: make(chan struct{})} }

func (c *tally) add(n int) (times int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[n]++
	c.total++
	close(c.grown)
	c.grown = make(chan struct{})
	return c.seen[n]
}

// await waits until the condition holds.
func (c *tally) await(t *testing.T, what string, holds func(seen map[int]int, total int) bool) {
	t.Helper()
	limit := time.After(patience)
	for {
		c.mu.Lock()
		ok, grown, total := holds(c.seen, c.total), c.grown, c.total
		c.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-grown:
		case <-limit:
			t.Fatalf("%s did not happen in %v; %d calls so far", what, patience, total)
		}
	}
}

func (c *tally) of(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[n]
}

// flush publishes one more message and waits until it is handled, behind those
// before it.
func (c *tally) flush(t *testing.T, q mq.MessageQueue, n int) {
	t.Helper()
	publish(t, q, other(n))
	c.await(t, fmt.Sprintf("message %d", n), func(seen map[int]int, _ int) bool { return seen[n] > 0 })
}

func closeQueue(t *testing.T, q mq.MessageQueue) {
	t.Helper()
	if err := q.Close(); err != nil {
		t.Error(err)
	}
}

func wait(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("%s did not happen in %v", what, patience)
	}
}
