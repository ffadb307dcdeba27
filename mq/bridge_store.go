package mq

import (
	"context"
	"errors"
	"time"

	"evalq/tasks"
)

// bridgeWish is a message on its way into the ledger.
type bridgeWish struct {
	bridgeMessage
	payload  tasks.Payload // nil when it is for the quarantine
	resolved bool
	reason   string // why it cannot be submitted
	refusals int    // by a ledger that is there
}

// maxRefusals bounds how often a message is tried with a ledger that answers and
// does not take it, which no ledger should.
const maxRefusals = 3

// work stores what is in the buffer until that is closed and empty, or ctx ends.
func (b *Bridge) work(ctx context.Context) {
	for {
		batch := b.buffer.take(ctx, bridgeBatch)
		if len(batch) == 0 {
			return
		}
		var good, bad []bridgeWish
		for i, m := range batch {
			w, ok := b.read(ctx, m)
			switch {
			case !ok:
				b.lose(batch[i:])
				b.lose(messages(good))
				b.lose(messages(bad))
				return
			case w.payload != nil:
				good = append(good, w)
			default:
				bad = append(bad, w)
			}
		}
		if b.cfg.Shadow {
			b.lose(messages(b.compare(ctx, good)))
		} else {
			refused, left := b.submit(ctx, good)
			b.lose(messages(left))
			bad = append(bad, refused...)
		}
		b.lose(messages(b.setAside(ctx, bad)))
	}
}

func messages(ws []bridgeWish) []bridgeMessage {
	out := make([]bridgeMessage, len(ws))
	for i, w := range ws {
		out[i] = w.bridgeMessage
	}
	return out
}

// lose counts what a bridge has to give up because it stops. One that only compares
// has nothing to lose.
func (b *Bridge) lose(ms []bridgeMessage) {
	if b.cfg.Shadow {
		return
	}
	for _, m := range ms {
		b.books.add(m.channel, tasks.BridgeChannel{Lost: 1})
	}
}

// read finds out what a message asks for. Ok is false when ctx has ended before
// the ledger could be asked about ids.
func (b *Bridge) read(ctx context.Context, m bridgeMessage) (w bridgeWish, ok bool) {
	w.bridgeMessage = m
	read, err := readBridged(m.body)
	switch {
	case err != nil:
		w.reason = err.Error()
	case read.ids.exact():
		w.payload, _ = payloadOf(read.kind, read.ids.User.Low, read.ids.Report.Low)
	default:
		ok := b.insist(ctx, 1, func() error {
			user, report, reason, err := resolve(ctx, b.ledger, read.ids)
			if w.reason = reason; err == nil && reason == "" {
				w.payload, _ = payloadOf(read.kind, user, report)
				w.resolved = true
			}
			return err
		})
		return w, ok
	}
	return w, true
}

// insist calls until there is no error, with pauses in between, and meanwhile says
// that messages are not stored. It reports false when ctx has ended before.
func (b *Bridge) insist(ctx context.Context, messages int, do func() error) bool {
	pause := 50 * time.Millisecond
	waits := false
	defer func() {
		if waits {
			b.health.storing(-1, nil)
		}
	}()
	for {
		err := do()
		if err == nil {
			return true
		}
		change := 0
		if !waits {
			waits, change = true, 1
		}
		b.health.storing(change, err)
		if n, due := b.away.add(int64(messages), time.Now(), b.times.remind); due && ctx.Err() == nil {
			b.cfg.Logger.Error("the ledger does not take what the bridge has received; it is kept and tried again", "messages", n, "err", err)
		}
		if !bridgeSleep(ctx, pause) {
			return false
		}
		pause = min(2*pause, b.times.backoff)
	}
}

// passing reports whether another try may end otherwise by itself.
func passing(err error) bool {
	return errors.Is(err, tasks.ErrUnavailable) || errors.Is(err, tasks.ErrOutcomeUnknown) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// submit has the ledger accept the wishes. It gives back what that refuses for
// good, and what is left because ctx has ended.
func (b *Bridge) submit(ctx context.Context, ws []bridgeWish) (refused, left []bridgeWish) {
	if len(ws) == 0 {
		return nil, nil
	}
	alone := false // each for itself, because one of them may keep the others back
	left = ws
	b.insist(ctx, len(ws), func() error {
		var again []bridgeWish
		var cause error
		for i, a := range b.accept(ctx, left, alone) {
			w := left[i]
			var invalid *tasks.InvalidError
			switch {
			case a.Err == nil:
				b.count(w, a.Created)
				continue
			case errors.As(a.Err, &invalid):
				w.payload, w.reason = nil, a.Err.Error()
				refused = append(refused, w)
				continue
			case !passing(a.Err):
				if w.refusals++; alone && w.refusals > maxRefusals {
					b.cfg.Logger.Error("the ledger refuses a message that can be read; it is set aside", "err", a.Err)
					w.payload, w.reason = nil, "the ledger refused it; the log says why"
					refused = append(refused, w)
					continue
				}
			}
			again, cause = append(again, w), a.Err
		}
		alone = alone || cause != nil && !passing(cause)
		left = again
		return cause
	})
	return refused, left
}

func (b *Bridge) accept(ctx context.Context, ws []bridgeWish, alone bool) []tasks.Accepting {
	rs := make([]tasks.Request, len(ws))
	for i, w := range ws {
		rs[i] = tasks.Request{Payload: w.payload, Passive: true}
	}
	if !alone {
		return b.ledger.AcceptMany(ctx, rs, bridgeName)
	}
	var out []tasks.Accepting
	for i := range rs {
		out = append(out, b.ledger.AcceptMany(ctx, rs[i:i+1], bridgeName)...)
	}
	return out
}

func (b *Bridge) count(w bridgeWish, created bool) {
	c := tasks.BridgeChannel{Existing: 1}
	if created {
		c = tasks.BridgeChannel{Submitted: 1}
	}
	if w.resolved {
		c.Resolved = 1
	}
	b.books.add(w.channel, c)
}

// setAside has the quarantine keep the messages, as far as it has room for them. It
// gives back what is left because ctx has ended.
func (b *Bridge) setAside(ctx context.Context, ws []bridgeWish) (left []bridgeWish) {
	byChannel := map[int][]bridgeWish{}
	for _, w := range ws {
		if b.cfg.Shadow { // somebody else may keep it
			b.books.add(w.channel, tasks.BridgeChannel{Unkept: 1})
			continue
		}
		if b.seen.has(bridgeMark(w.bridgeMessage), time.Now(), b.times.again) {
			b.books.add(w.channel, tasks.BridgeChannel{Quarantined: 1})
			continue
		}
		byChannel[w.channel] = append(byChannel[w.channel], w)
	}
	for channel, ws := range byChannel {
		qs, bodies := make([]tasks.Quarantined, len(ws)), make([][]byte, len(ws))
		for i, w := range ws {
			qs[i] = tasks.Quarantined{Source: bridgeName, Queue: b.channels[channel], Reason: w.reason}
			bodies[i] = w.body
			if len(w.body) > quarantineBytes {
				bodies[i] = w.body[:quarantineBytes]
				qs[i].Reason += "; only its beginning is kept"
			}
		}
		var kept int
		if !b.insist(ctx, len(ws), func() (err error) {
			kept, err = b.ledger.QuarantineMany(ctx, qs, bodies, b.most)
			return err
		}) {
			left = append(left, ws...)
			continue
		}
		b.books.add(channel, tasks.BridgeChannel{Quarantined: int64(kept), Unkept: int64(len(ws) - kept)})
		b.sayAside(int64(kept), int64(len(ws)-kept))
		if kept == len(ws) {
			for _, w := range ws {
				b.seen.add(bridgeMark(w.bridgeMessage), time.Now())
			}
		}
	}
	return left
}

func (b *Bridge) sayAside(kept, unkept int64) {
	if n, due := b.aside.add(kept, time.Now(), b.times.remind); due {
		b.cfg.Logger.Warn("messages that cannot be submitted were set aside", "messages", n)
	}
	if n, due := b.full.add(unkept, time.Now(), b.times.remind); due {
		b.cfg.Logger.Error("messages that cannot be read were not kept: the quarantine has too many of the bridge", "messages", n)
	}
}
