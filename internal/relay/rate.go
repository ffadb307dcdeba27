package relay

import (
	"math"
	"math/rand/v2"
	"time"
)

// rate is a decaying count: about how many a second over the last few seconds.
type rate struct {
	value float64
	at    time.Time
	fresh int
}

// memory is the time constant of the decay.
const memory = 3 * time.Second

func (r *rate) add(n int) { r.fresh += n }

// tick folds what was added since the last tick into the average.
func (r *rate) tick(now time.Time) {
	if r.at.IsZero() {
		r.at = now
		return
	}
	dt := now.Sub(r.at).Seconds()
	if dt < 0.05 {
		return
	}
	keep := math.Exp(-dt / memory.Seconds())
	r.value = r.value*keep + float64(r.fresh)/dt*(1-keep)
	r.fresh, r.at = 0, now
}

// perSecond takes it that nothing was added since the last tick.
func (r *rate) perSecond(now time.Time) float64 {
	return r.value * math.Exp(-max(0, now.Sub(r.at).Seconds())/memory.Seconds())
}

// backoff spaces the tries while Redis or the ledger is away.
type backoff struct {
	since time.Time // of the first failure
	until time.Time
	step  time.Duration
}

const (
	firstBackoff = 200 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

func (b *backoff) ready() bool { return !time.Now().Before(b.until) }

func (b *backoff) succeed() { b.step = 0 }

// fail answers how long to wait: half of the step for certain and half at
// random, so that several relays do not return together.
func (b *backoff) fail() time.Duration {
	if b.step == 0 {
		b.since = time.Now()
	}
	b.step = min(max(2*b.step, firstBackoff), lastBackoff)
	wait := b.step/2 + rand.N(b.step/2)
	b.until = time.Now().Add(wait)
	return wait
}
