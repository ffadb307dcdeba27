package client

import (
	"context"
	"sync"
	"time"
)

const (
	// ringFor bounds one ring, and so how long Close waits for the last.
	ringFor = 5 * time.Second
	// betweenRings is how long touches gather after a ring.
	betweenRings = 5 * time.Millisecond
)

// bell tells relays in other processes that something was committed. A relay
// that does not hear it looks by itself a second later, so a ring that fails is
// nobody's trouble. Invariant: at most one run is under way.
type bell struct {
	ring func(context.Context) error // nil when nobody can hear it

	mu    sync.Mutex
	busy  bool
	again bool
	shut  bool
	wg    sync.WaitGroup
}

// touch rings soon, once for all touches meanwhile. It does not block.
func (b *bell) touch() {
	if b.ring == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shut {
		return
	}
	b.again = true
	if !b.busy {
		b.busy = true
		b.wg.Go(b.run)
	}
}

func (b *bell) run() {
	for b.next() {
		ctx, cancel := context.WithTimeout(context.Background(), ringFor)
		_ = b.ring(ctx)
		cancel()
		time.Sleep(betweenRings)
	}
}

func (b *bell) next() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.busy, b.again = b.again, false
	return b.busy
}

// close waits for the last ring.
func (b *bell) close() {
	b.mu.Lock()
	b.shut = true
	b.mu.Unlock()
	b.wg.Wait()
}
