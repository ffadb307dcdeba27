package mq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// ErrFull: the buffer of an InMemoryQueue stayed full for 10 s, or until the
// caller's context ended. The message was not published.
var ErrFull = errors.New("the buffer is full")

// InMemoryQueue keeps messages in this process, for tests and for development: what
// it holds ends with the process. It is safe for concurrent use, and the zero value
// is a queue for 100 messages.
type InMemoryQueue struct {
	once   sync.Once
	rules  rules
	buffer int
	watch  watch

	mu          sync.Mutex
	changed     chan struct{} // closed and replaced at each change
	closing     chan struct{} // closed by Close
	ready       []*letter
	waiting     []*letter // failed, for another try when due
	dead        []*letter
	subscribers int
	closed      bool
	subs        sync.WaitGroup
}

// letter is a stored message.
type letter struct {
	kind      MessageType
	payload   []byte
	transient time.Time // of the first transient error
	failures  int
	due       time.Time
	err       error
}

// NewInMemoryQueue makes a queue that holds bufferSize messages which no handler
// has taken yet; below 1 it holds 100.
func NewInMemoryQueue(bufferSize int) *InMemoryQueue { return newMemory(bufferSize, defaultRules()) }

func newMemory(buffer int, r rules) *InMemoryQueue {
	q := &InMemoryQueue{}
	q.setUp(buffer, r)
	return q
}

// setUp does nothing the second time.
func (q *InMemoryQueue) setUp(buffer int, r rules) {
	q.once.Do(func() {
		if buffer < 1 {
			buffer = defaultBuffer
		}
		q.rules, q.buffer = r, buffer
		q.changed, q.closing = make(chan struct{}), make(chan struct{})
		q.watch.every, q.watch.look = lonelyEvery, q.tellLonely
	})
}

// Publish stores the message for a handler in this process. While the buffer is
// full it waits, until ctx ends or 10 s have passed: then it is ErrFull. ErrClosed
// after Close.
func (q *InMemoryQueue) Publish(ctx context.Context, message *Message) error {
	if err := usable(ctx, q); err != nil {
		return fmt.Errorf("mq: publish: %w", err)
	}
	q.setUp(0, defaultRules())
	payload, err := message.encode()
	if err != nil {
		return fmt.Errorf("mq: publish: %w", err)
	}
	if err := q.put(ctx, &letter{kind: message.Type, payload: payload}); err != nil {
		return fmt.Errorf("mq: publish %q: %w", message.Type, err)
	}
	q.watch.published()
	return nil
}

func (q *InMemoryQueue) put(ctx context.Context, l *letter) error {
	limit := time.NewTimer(publishTimeout)
	defer limit.Stop()
	for {
		q.mu.Lock()
		if q.closed {
			q.mu.Unlock()
			return ErrClosed
		}
		if len(q.ready)+len(q.waiting) < q.buffer {
			q.ready = append(q.ready, l)
			q.change()
			q.mu.Unlock()
			return nil
		}
		changed := q.changed
		q.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrFull, context.Cause(ctx))
		case <-limit.C:
			return fmt.Errorf("%w: %d messages wait; subscribe a handler, or make the buffer larger", ErrFull, q.buffer)
		}
	}
}

// change wakes all who wait for one. Callers hold the lock.
func (q *InMemoryQueue) change() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// Subscribe gives messages to handler, ten at a time unless Open was told another
// number, and blocks as RedisQueue's does: until ctx ends, whose error it returns,
// or until Close, which lets the handlers deal with all that is ready first. What
// is left waits for the next who subscribes.
func (q *InMemoryQueue) Subscribe(ctx context.Context, handler MessageHandler) error {
	if err := usable(ctx, q); err != nil {
		return fmt.Errorf("mq: subscribe: %w", err)
	}
	if handler == nil {
		return fmt.Errorf("mq: subscribe: %w", invalid(errors.New("the handler is nil")))
	}
	q.setUp(0, defaultRules())
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return fmt.Errorf("mq: subscribe: %w", ErrClosed)
	}
	q.subscribers++
	q.subs.Add(1)
	q.mu.Unlock()
	defer q.subs.Done()

	c := newCrew(ctx)
	var slots sync.WaitGroup
	for range q.rules.concurrency {
		slots.Go(func() { q.serve(ctx, c, handler) })
	}
	over := make(chan struct{}) // closed when no slot works any more
	go func() { slots.Wait(); close(over) }()
	err := q.attend(ctx, c, over)
	q.mu.Lock()
	q.subscribers--
	q.mu.Unlock()
	if err != nil {
		return fmt.Errorf("mq: subscribe: %w", err)
	}
	return nil
}

// attend waits for the end of a subscription, and then for its handlers.
func (q *InMemoryQueue) attend(ctx context.Context, c *crew, over <-chan struct{}) (err error) {
	drain := q.rules.drain
	select {
	case <-ctx.Done():
		err = ctx.Err()
	case <-q.closing:
		t := time.NewTimer(drain)
		defer t.Stop()
		select {
		case <-over: // nothing is ready any more
		case <-ctx.Done():
		case <-t.C:
			drain = 0
		}
	}
	if stuck := c.end(drain); stuck != nil {
		return stuck
	}
	<-over
	return err
}

// serve is one slot of a subscription.
func (q *InMemoryQueue) serve(ctx context.Context, c *crew, handler MessageHandler) {
	for {
		l := q.take(ctx)
		if l == nil {
			return
		}
		if !c.enter() {
			q.settle(l, verdict{fate: back})
			return
		}
		q.settle(l, q.try(c.ctx, l, handler))
		c.leave()
	}
}

func (q *InMemoryQueue) try(ctx context.Context, l *letter, handler MessageHandler) verdict {
	m, err := decode(l.kind, l.payload)
	if err == nil {
		err = q.rules.call(ctx, handler, m)
	}
	return q.rules.judge(ctx, err, l.failures, l.transient)
}

// take waits for a message that is due. It is nil when ctx has ended, or when the
// queue is closed and nothing is ready.
func (q *InMemoryQueue) take(ctx context.Context) *letter {
	for ctx.Err() == nil {
		q.mu.Lock()
		next := q.promote(time.Now())
		if len(q.ready) > 0 {
			l := q.ready[0]
			q.ready[0] = nil
			q.ready = q.ready[1:]
			q.change()
			q.mu.Unlock()
			return l
		}
		closed, changed := q.closed, q.changed
		q.mu.Unlock()
		if closed {
			return nil
		}
		t := time.NewTimer(next)
		select {
		case <-changed:
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
	return nil
}

// promote makes ready what is due, and tells how long to wait for the next.
func (q *InMemoryQueue) promote(now time.Time) (next time.Duration) {
	next = time.Hour
	q.waiting = slices.DeleteFunc(q.waiting, func(l *letter) bool {
		if wait := l.due.Sub(now); wait > 0 {
			next = min(next, wait)
			return false
		}
		q.ready = append(q.ready, l)
		return true
	})
	return next
}

// maxDead bounds how many messages that were set aside are kept.
const maxDead = 1000

func (q *InMemoryQueue) settle(l *letter, v verdict) {
	if v.charged {
		l.failures++
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch v.fate {
	case back:
		q.ready = slices.Insert(q.ready, 0, l)
	case later:
		if !v.charged && l.transient.IsZero() {
			l.transient = time.Now()
		}
		l.due = time.Now().Add(v.pause)
		q.waiting = append(q.waiting, l)
	case buried:
		l.err = v.err
		q.dead = append(q.dead, l)
		q.dead = q.dead[max(0, len(q.dead)-maxDead):]
		q.rules.log.Error("a message was set aside", "type", l.kind, "failures", l.failures, "class", classOf(v.err))
	}
	q.change()
}

// Close ends all Subscribe calls, lets their handlers deal with what is ready, for
// up to 20 s, and waits for them. What is left after that, Left gives back.
func (q *InMemoryQueue) Close() error {
	if q == nil {
		return nil
	}
	q.setUp(0, defaultRules())
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.closing)
		q.change()
	}
	q.mu.Unlock()
	q.watch.close()
	q.subs.Wait()
	if n := len(q.Left()); n > 0 {
		q.rules.log.Warn("a queue in memory was closed with messages in it; Left gives them", "messages", n)
	}
	return nil
}

// DeadLetter is a message that was set aside, and why.
type DeadLetter struct {
	Message *Message
	Err     error
}

// Dead gives the last 1,000 messages that were set aside, oldest first.
func (q *InMemoryQueue) Dead() []DeadLetter {
	if q == nil {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []DeadLetter
	for _, l := range q.dead {
		if m, err := decode(l.kind, l.payload); err == nil {
			out = append(out, DeadLetter{m, l.err})
		}
	}
	return out
}

// Left gives the messages that no handler has dealt with, oldest first: those that
// wait, and after Close those that nobody will get any more, to publish them
// elsewhere.
func (q *InMemoryQueue) Left() []*Message {
	if q == nil {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []*Message
	for _, l := range slices.Concat(q.ready, q.waiting) {
		if m, err := decode(l.kind, l.payload); err == nil {
			out = append(out, m)
		}
	}
	return out
}

// Ready is an error while messages wait and nobody has subscribed.
func (q *InMemoryQueue) Ready(context.Context) error {
	if q == nil {
		return fmt.Errorf("mq: ready: %w", errNilQueue)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := len(q.ready) + len(q.waiting); n > 0 && q.subscribers == 0 {
		return lonely(n)
	}
	return nil
}

func (q *InMemoryQueue) tellLonely() (again bool) {
	err := q.Ready(context.Background())
	if err != nil {
		q.rules.log.Error("messages are not handled", "err", err)
	}
	return err != nil
}

func lonely(n int) error {
	return fmt.Errorf("mq: %d %w", n, ErrNoConsumer)
}
