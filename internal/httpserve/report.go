package httpserve

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// cause is why a connection was closed or refused.
type cause int

const (
	refused cause = iota
	evicted
	tooSlow
	causes
)

// reportEvery is how often the log says what was closed.
const reportEvery = 10 * time.Second

// report counts and logs, at most once each reportEvery.
type report struct {
	log    *slog.Logger
	now    func() Stats
	counts [causes]atomic.Int64

	mu    sync.Mutex
	told  Stats
	timer *time.Timer // runs while something is not told
	ended bool
}

func (r *report) stats() Stats {
	return Stats{Refused: r.counts[refused].Load(), Evicted: r.counts[evicted].Load(), Slow: r.counts[tooSlow].Load()}
}

// count counts one. The caller may hold the Server's lock.
func (r *report) count(c cause) {
	r.counts[c].Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timer == nil && !r.ended {
		r.timer = time.AfterFunc(reportEvery, func() { r.tell(r.now()) })
	}
}

func (r *report) tell(s Stats) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.timer = nil
	before := r.told
	if s.Refused == before.Refused && s.Evicted == before.Evicted && s.Slow == before.Slow {
		return
	}
	r.told = s
	r.log.Warn("connections were closed or refused: clients do not read, do not send, or are too many",
		"open", s.Open, "limit", s.Limit, "refused", s.Refused-before.Refused, "evicted", s.Evicted-before.Evicted, "slow", s.Slow-before.Slow)
}

// end tells what is left, and stops.
func (r *report) end() {
	r.mu.Lock()
	r.ended = true
	if r.timer != nil {
		r.timer.Stop()
	}
	r.mu.Unlock()
	r.tell(r.now())
}
