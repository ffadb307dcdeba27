package mq

import (
	"context"
	"errors"
	"sync"
	"time"

	"evalq/tasks"
)

// bridgeDoubts are messages without a job so far. The program that publishes may
// submit in the new way a moment later, so they are looked at once more.
type bridgeDoubts struct {
	mu    sync.Mutex
	items []bridgeDoubt // oldest first
}

type bridgeDoubt struct {
	bridgeWish
	due time.Time
}

const maxDoubts = 50_000

// add reports whether there was room.
func (d *bridgeDoubts) add(w bridgeWish, due time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.items) >= maxDoubts {
		return false
	}
	w.body = nil // the ids are enough
	d.items = append(d.items, bridgeDoubt{w, due})
	return true
}

// take gives those that are due, a batch at most.
func (d *bridgeDoubts) take(now time.Time) (due []bridgeWish) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.items) > 0 && len(due) < bridgeBatch && !d.items[0].due.After(now) {
		due = append(due, d.items[0].bridgeWish)
		d.items = d.items[1:]
	}
	return due
}

// compare looks whether the ledger has the jobs, and submits nothing. It gives back
// what is left because ctx has ended.
func (b *Bridge) compare(ctx context.Context, ws []bridgeWish) (left []bridgeWish) {
	for i, w := range ws {
		found, ok := b.find(ctx, w)
		switch {
		case !ok:
			return ws[i:]
		case found:
			b.books.add(w.channel, tasks.BridgeChannel{ShadowFound: 1})
		case !b.doubts.add(w, time.Now().Add(b.times.look)):
			b.books.add(w.channel, tasks.BridgeChannel{ShadowMissing: 1})
		}
	}
	return nil
}

func (b *Bridge) find(ctx context.Context, w bridgeWish) (found, ok bool) {
	user, report := w.payload.Subject()
	ok = b.insist(ctx, 1, func() error {
		_, err := b.ledger.Find(ctx, w.payload.Kind(), user, report)
		if errors.Is(err, tasks.ErrNotFound) {
			found = false
			return nil
		}
		found = err == nil
		return err
	})
	return found, ok
}

// lookAgain decides about the doubts when they are due, and about all of them in
// the end.
func (b *Bridge) lookAgain(ctx context.Context, ended <-chan struct{}) {
	tick := time.NewTicker(min(b.times.tell, max(b.times.look, time.Millisecond)))
	defer tick.Stop()
	for over := false; !over; {
		select {
		case <-ended:
			over = true
		case <-tick.C:
		}
		until := time.Now()
		if over {
			until = until.Add(b.times.look)
		}
		for due := b.doubts.take(until); len(due) > 0; due = b.doubts.take(until) {
			for _, w := range due {
				c := tasks.BridgeChannel{ShadowMissing: 1}
				if found, ok := b.find(ctx, w); ok && found {
					c = tasks.BridgeChannel{ShadowFound: 1}
				}
				b.books.add(w.channel, c)
			}
		}
	}
}
