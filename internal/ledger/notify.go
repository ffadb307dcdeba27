package ledger

import (
	"context"
	"sync"
	"time"

	"evalq/tasks"
)

// notices tells the goroutines of this process about commits. They are hints:
// whoever waits also looks by itself now and then.
type notices struct {
	changed chan struct{} // holds at most one token
	mu      sync.Mutex
	waiting map[string][]chan struct{}
}

func (n *notices) init() {
	n.changed = make(chan struct{}, 1)
	n.waiting = map[string][]chan struct{}{}
}

func (n *notices) wake() {
	select {
	case n.changed <- struct{}{}:
	default:
	}
}

func (n *notices) finished(id string) {
	n.mu.Lock()
	for _, c := range n.waiting[id] {
		close(c)
	}
	delete(n.waiting, id)
	n.mu.Unlock()
}

func (n *notices) subscribe(id string) (<-chan struct{}, func()) {
	c := make(chan struct{})
	n.mu.Lock()
	n.waiting[id] = append(n.waiting[id], c)
	n.mu.Unlock()
	return c, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		left := n.waiting[id][:0]
		for _, have := range n.waiting[id] {
			if have != c {
				left = append(left, have)
			}
		}
		if len(left) == 0 {
			delete(n.waiting, id)
			return
		}
		n.waiting[id] = left
	}
}

// Wake puts a token into Changed: the relay has more to do than it took on.
func (l *Ledger) Wake() { l.notices.wake() }

// Changed holds a token when something has moved since it was last emptied. It
// has one reader, the relay.
func (l *Ledger) Changed() <-chan struct{} { return l.notices.changed }

// Wait returns the job when it has finished, after max at the latest. It looks
// again each second for moves that other processes made.
func (l *Ledger) Wait(ctx context.Context, id string, max time.Duration) (tasks.Job, error) {
	deadline := time.NewTimer(max)
	defer deadline.Stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		done, cancel := l.notices.subscribe(id)
		j, err := l.Get(ctx, id)
		if err != nil || j.State.Finished() {
			cancel()
			return j, err
		}
		select {
		case <-done:
		case <-tick.C:
		case <-deadline.C:
			cancel()
			return l.Get(ctx, id)
		case <-ctx.Done():
			cancel()
			return j, context.Cause(ctx)
		}
		cancel()
	}
}
