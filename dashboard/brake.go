package dashboard

import (
	"crypto/sha256"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	freeStrikes  = 5                // wrong secrets before the first wait
	longestWait  = 5 * time.Minute  // after one more wrong secret
	strikesLast  = 15 * time.Minute // without another, they are forgotten
	maxOffenders = 4096             // remote addresses kept in memory
	marksKept    = 16               // wrong secrets that an address is known to repeat
)

// brake slows down who guesses secrets. After freeStrikes wrong ones a remote
// address has to wait 1 s, then 2 s, 4 s … up to longestWait; until then its
// secrets are not even looked at, but for strong ones (see secret.Strong). Sessions
// that exist go on.
type brake struct {
	mu        sync.Mutex
	offenders map[string]*offender
}

type offender struct {
	strikes int
	last    time.Time
	until   time.Time
	wrong   []mark // the newest wrong secrets
}

// mark stands for a secret. What has noMark is never recognized again.
type mark = [sha256.Size]byte

var noMark mark

func newBrake() *brake { return &brake{offenders: map[string]*offender{}} }

// try runs check unless remote has to wait, and says for how long. The lock is
// held over the check, which takes microseconds, so that a burst of parallel
// guesses gets no more tries than a patient guesser. A success does not clear
// the strikes: else a valid token of one's own would buy guesses at another's.
// A guess that was wrong before is so again, and no strike.
func (b *brake) try(remote string, guess mark, now time.Time, check func() bool) (ok bool, wait time.Duration) {
	key := network(remote)
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.offenders[key]
	if o != nil && now.Sub(o.last) > strikesLast && now.After(o.until) {
		delete(b.offenders, key)
		o = nil
	}
	if o != nil && now.Before(o.until) {
		return false, o.until.Sub(now)
	}
	if o != nil && slices.Contains(o.wrong, guess) {
		return false, 0
	}
	if check() {
		return true, 0
	}
	if o == nil {
		b.makeRoom(now)
		o = &offender{}
		b.offenders[key] = o
	}
	o.strike(guess, now)
	return false, 0
}

func (o *offender) strike(guess mark, now time.Time) {
	if guess != noMark {
		o.wrong = append(o.wrong[max(0, len(o.wrong)+1-marksKept):], guess)
	}
	o.strikes++
	o.last = now
	if over := o.strikes - freeStrikes; over >= 0 {
		o.until = now.Add(min(longestWait, time.Second<<min(over, 20)))
	}
}

// makeRoom keeps the table bounded: it drops who was forgotten and, if that is
// nobody, who has been quiet the longest.
func (b *brake) makeRoom(now time.Time) {
	if len(b.offenders) < maxOffenders {
		return
	}
	quietest, since := "", now
	for key, o := range b.offenders {
		if now.Sub(o.last) > strikesLast {
			delete(b.offenders, key)
		} else if quietest == "" || o.last.Before(since) {
			quietest, since = key, o.last
		}
	}
	if len(b.offenders) >= maxOffenders {
		delete(b.offenders, quietest)
	}
}

// network is what one guesser can be expected to own: an IPv4 address, or an
// IPv6 network of 64 bits.
func network(remote string) string {
	addr, err := netip.ParseAddr(remote)
	if err != nil {
		return remote
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		if prefix, err := addr.Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return addr.String()
}

// failuresAMinute bounds what guessers from many addresses can write.
const failuresAMinute = 60

// quota allows failuresAMinute entries in each minute.
type quota struct {
	mu    sync.Mutex
	begun time.Time
	used  int
}

func (q *quota) take(now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if now.Sub(q.begun) >= time.Minute {
		q.begun, q.used = now, 0
	}
	if q.used == failuresAMinute {
		return false
	}
	q.used++
	return true
}
