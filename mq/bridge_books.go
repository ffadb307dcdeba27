package mq

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"evalq/tasks"
)

// bridgeBooks are a bridge's counts.
type bridgeBooks struct {
	mu    sync.Mutex
	total []tasks.BridgeChannel // since the bridge began
	fresh []tasks.BridgeChannel // what the ledger was not told yet
	dirty bool
	away  time.Duration // for the ledger, once; below zero when it is told
	now   chan struct{} // holds a token when the ledger is to be told at once
}

func newBridgeBooks(channels []string) *bridgeBooks {
	k := &bridgeBooks{away: -1, now: make(chan struct{}, 1)}
	for _, c := range channels {
		k.total = append(k.total, tasks.BridgeChannel{Channel: c})
	}
	k.fresh = slices.Clone(k.total)
	return k
}

func (k *bridgeBooks) add(channel int, c tasks.BridgeChannel) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.total[channel], k.fresh[channel] = k.total[channel].Plus(c), k.fresh[channel].Plus(c)
	k.dirty = true
}

func (k *bridgeBooks) received(channel int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.total[channel].Received++
	k.total[channel].LastAt = time.Now()
	k.fresh[channel].Received++
	k.dirty = true
}

func (k *bridgeBooks) gap(d time.Duration) {
	for i := range k.total {
		k.add(i, tasks.BridgeChannel{Gaps: 1, GapMS: d.Milliseconds(), GapAt: time.Now()})
	}
	hint(k.now)
}

// begin has the ledger told of the first subscription.
func (k *bridgeBooks) begin(away time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.away = away
	hint(k.now)
}

func (k *bridgeBooks) all() []tasks.BridgeChannel {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.total)
}

func (k *bridgeBooks) lost() (n int64) {
	for _, c := range k.all() {
		n += c.Lost
	}
	return n
}

// take gives what the ledger is to be told, and empties it.
func (k *bridgeBooks) take() (sums []tasks.BridgeChannel, away time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	sums, away = k.fresh, k.away
	k.fresh = make([]tasks.BridgeChannel, len(sums))
	for i, c := range sums {
		k.fresh[i].Channel = c.Channel
	}
	k.away, k.dirty = -1, false
	return sums, away
}

// giveBack is for what the ledger did not take.
func (k *bridgeBooks) giveBack(sums []tasks.BridgeChannel, away time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, c := range sums {
		c.SeenAt = time.Time{}
		k.fresh[i] = k.fresh[i].Plus(c)
	}
	if k.away < 0 {
		k.away = away
	}
	k.dirty = true
}

func (k *bridgeBooks) isDirty() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.dirty
}

const (
	tellWithin = time.Minute     // the ledger's own limits are shorter
	lastWithin = 2 * time.Second // at the end
)

// tell writes the counts into the ledger until ended is closed, and then once more.
func (b *Bridge) tell(ctx context.Context, ended <-chan struct{}) {
	tick := time.NewTicker(b.times.tell)
	defer tick.Stop()
	var last time.Time
	for {
		select {
		case <-ended:
			b.tellOnce(context.WithoutCancel(ctx), lastWithin)
			return
		case <-b.books.now:
		case <-tick.C:
			if !b.books.isDirty() && (!b.health.isSubscribed() || time.Since(last) < b.times.beat) {
				continue
			}
		}
		b.tellOnce(ctx, tellWithin)
		last = time.Now()
	}
}

func (b *Bridge) tellOnce(ctx context.Context, within time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	sums, away := b.books.take()
	if b.health.isSubscribed() {
		for i := range sums {
			sums[i].SeenAt = time.Now()
		}
	}
	err := b.ledger.CountBridge(ctx, sums, away)
	if err == nil || errors.Is(err, tasks.ErrOutcomeUnknown) { // rather too few than twice
		return
	}
	b.books.giveBack(sums, away)
	if _, due := b.uncounted.add(1, time.Now(), b.times.remind); due {
		b.cfg.Logger.Warn("the counts of the bridge could not be stored; it tries again", "err", err)
	}
}
