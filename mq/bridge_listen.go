package mq

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// leaveWithin bounds how long Redis may take to confirm that we are no longer
// subscribed.
const leaveWithin = 2 * time.Second

// listener is one Run's subscription.
type listener struct {
	*Bridge
	ps        *redis.PubSub
	confirmed map[string]bool
	away      time.Duration // what the ledger is told at the first subscription
	since     time.Time     // when the connection was lost; zero before the first
	silent    atomic.Int64  // since when one had been silent that was cut, in ns; else 0
	began     time.Time     // of the newest subscription
	pause     time.Duration // before the next try
	broken    reminder
}

// listen puts what is published into the buffer until ctx ends and Redis has
// confirmed that nothing more will come.
func (b *Bridge) listen(ctx context.Context, client redis.UniversalClient) {
	// The connection outlives ctx by the time that leaving takes.
	open := context.WithoutCancel(ctx)
	l := &listener{Bridge: b, ps: client.Subscribe(open), confirmed: map[string]bool{}, away: bridgeAway}
	var guard sync.WaitGroup
	ended := make(chan struct{})
	guard.Go(func() { l.guard(ctx, ended) })
	defer func() {
		close(ended)
		guard.Wait()
		_ = l.ps.Close() // the connection is of no more use, however it ends
		b.health.subscribed(false, nil)
	}()
	if l.alone(ctx) {
		l.away = 0
	}
	for subscribe := true; ctx.Err() == nil || b.health.isSubscribed(); {
		var got any
		var err error
		if subscribe {
			err = l.ps.Subscribe(open, b.channels...)
		}
		if subscribe = err != nil; err == nil {
			got, err = l.ps.ReceiveTimeout(open, 0)
		}
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			var said redis.Error
			subscribe = subscribe || errors.As(err, &said) // it was refused, and is not repeated by itself
			l.lost(ctx, err)
			continue
		}
		if l.received(ctx, got) {
			return
		}
	}
}

// alone reports whether it is certain that nobody is subscribed: then whatever was
// published a moment ago is lost.
func (l *listener) alone(ctx context.Context) bool {
	client := l.client()
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	counts, err := client.PubSubNumSub(ctx, l.channels...).Result()
	if err != nil {
		return false
	}
	for _, n := range counts {
		if n > 0 {
			return false
		}
	}
	return true
}

// received reports whether that was the last.
func (l *listener) received(ctx context.Context, got any) (last bool) {
	switch got := got.(type) {
	case *redis.Message:
		if i := l.channelOf(got.Channel); i >= 0 {
			l.books.received(i)
			l.buffer.put(ctx, bridgeMessage{i, []byte(got.Payload)})
		}
	case *redis.Subscription:
		if got.Kind == "unsubscribe" {
			delete(l.confirmed, got.Channel)
			return len(l.confirmed) == 0 && ctx.Err() != nil
		}
		l.confirmed[got.Channel] = true
		if len(l.confirmed) == len(l.channels) && !l.health.isSubscribed() {
			l.subscribed()
		}
	}
	return false
}

func (l *listener) channelOf(name string) int {
	for i, c := range l.channels {
		if c == name {
			return i
		}
	}
	return -1
}

func (l *listener) subscribed() {
	l.health.subscribed(true, nil)
	l.began = time.Now()
	if l.since.IsZero() {
		l.books.begin(l.away)
		l.cfg.Logger.Info("the bridge is subscribed", "channels", l.channels, "shadow", l.cfg.Shadow)
		return
	}
	gap := time.Since(l.since)
	l.books.gap(gap)
	l.cfg.Logger.Warn("the bridge is subscribed again; what was published meanwhile is lost", "gap_ms", gap.Milliseconds())
}

// lost notes that the connection has broken, and waits before the next try.
func (l *listener) lost(ctx context.Context, err error) {
	silent := l.silent.Swap(0)
	if l.health.isSubscribed() {
		l.since = time.Now()
		if silent != 0 { // it was lost before anybody noticed
			l.since = time.Unix(0, silent)
		}
		if time.Since(l.began) > time.Second { // else it would go round and round
			l.pause = 0
		}
	}
	l.health.subscribed(false, err)
	clear(l.confirmed)
	if n, due := l.broken.add(1, time.Now(), l.times.remind); due {
		l.cfg.Logger.Warn("the bridge is not subscribed; it tries again without end", "tries", n, "err", err)
	}
	bridgeSleep(ctx, l.pause)
	l.pause = min(max(2*l.pause, 50*time.Millisecond), l.times.backoff)
}

// bridgeSleep waits, and reports whether ctx goes on.
func bridgeSleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// guard asks a silent connection for a sign of life, cuts one that gives none, and
// leaves the channels when ctx ends.
func (l *listener) guard(ctx context.Context, ended <-chan struct{}) {
	tick := time.NewTicker(l.times.ping / 3)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-ctx.Done():
			l.leave(ended)
			return
		case <-tick.C:
			switch quiet := l.line.silence(time.Now()); {
			case quiet > l.times.dead:
				l.silent.Store(time.Now().Add(-quiet).UnixNano())
				l.line.cut()
			case quiet > l.times.ping && l.health.isSubscribed():
				// A ping that fails closes the connection, and the reader gets the error.
				// Then the gap began with the silence.
				l.silent.Store(time.Now().Add(-quiet).UnixNano())
				ping, cancel := context.WithTimeout(ctx, l.times.ping)
				if l.ps.Ping(ping) == nil {
					l.silent.Store(0)
				}
				cancel()
			}
		}
	}
}

// leave sees to it that listen ends: with the confirmation of Redis behind the last
// message, or without it.
func (l *listener) leave(ended <-chan struct{}) {
	if l.health.isSubscribed() {
		ctx, cancel := context.WithTimeout(context.Background(), leaveWithin)
		defer cancel()
		if l.ps.Unsubscribe(ctx) == nil {
			select {
			case <-ended:
				return
			case <-ctx.Done():
			}
		}
	}
	l.line.cut()
	_ = l.ps.Close() // a second time it says that it is closed
}
