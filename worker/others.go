package worker

import (
	"math/rand/v2"
	"sync"
	"time"

	"evalq/tasks"
)

const (
	// othersFor is how long the ledger's word is good that other workers handle a
	// kind.
	othersFor = time.Second
	// passEvery bounds how fast a worker gives tasks back that others are to have:
	// it would otherwise do nothing else while those are busy.
	passEvery = 20 * time.Millisecond
	// A task that was given back comes back after passSoon to passLate.
	passSoon, passLate = 100 * time.Millisecond, 5 * time.Second
	// sayEvery is how often the log tells of a kind.
	sayEvery = 10 * time.Minute
)

// others is what a worker knows of kinds that other workers handle.
type others struct {
	mu    sync.Mutex
	until map[tasks.Kind]time.Time
	said  map[tasks.Kind]time.Time
	next  time.Time // when the next task may come back
}

// note takes in that others handle the kind, and reports whether the log has not
// told of it for long.
func (o *others) note(k tasks.Kind, now time.Time) (first bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.until == nil {
		o.until, o.said = map[tasks.Kind]time.Time{}, map[tasks.Kind]time.Time{}
	}
	o.until[k] = now.Add(othersFor)
	if said, ok := o.said[k]; ok && now.Sub(said) < sayEvery {
		return false
	}
	o.said[k] = now
	return true
}

// delay is when a task of the kind is to come back, unless it is not known that
// others handle it.
func (o *others) delay(k tasks.Kind, now time.Time) (time.Duration, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !now.Before(o.until[k]) {
		return 0, false
	}
	if o.next.Before(now) {
		o.next = now
	}
	wait := o.next.Sub(now)
	if wait < passLate {
		o.next = o.next.Add(passEvery)
	}
	return max(wait, passSoon/2+rand.N(passSoon)), true
}
