package mq

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"
)

// bridgeHealth is what stands in the way, if anything does.
type bridgeHealth struct {
	mu       sync.Mutex
	sub      bool
	lineErr  error
	storeErr error
	waiting  int // workers whose last try to store failed
}

func (h *bridgeHealth) err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case !h.sub && h.lineErr != nil:
		return fmt.Errorf("mq: bridge: not subscribed: %w", h.lineErr)
	case !h.sub:
		return errors.New("mq: bridge: not subscribed yet")
	case h.waiting > 0:
		return fmt.Errorf("mq: bridge: what it received is not stored: %w", h.storeErr)
	}
	return nil
}

func (h *bridgeHealth) subscribed(yes bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sub, h.lineErr = yes, err
}

func (h *bridgeHealth) isSubscribed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sub
}

// storing notes that a worker fails to store, with the reason, or does no more.
func (h *bridgeHealth) storing(change int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiting += change
	if err != nil {
		h.storeErr = err
	}
}

// reminder lets the same be logged once in a while, with how often it was.
type reminder struct {
	mu   sync.Mutex
	last time.Time
	n    int64
}

// add answers how many there were since it was logged last, when it is time to.
func (r *reminder) add(n int64, now time.Time, every time.Duration) (int64, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n += n
	if r.n == 0 || !r.last.IsZero() && now.Sub(r.last) < every {
		return 0, false
	}
	n, r.n, r.last = r.n, 0, now
	return n, true
}

// bridgeSeen remembers unreadable bytes for a while, so that a flood of the same
// costs the ledger nothing.
type bridgeSeen struct {
	mu   sync.Mutex
	last map[[sha256.Size]byte]time.Time
}

const maxSeen = 10_000

func bridgeMark(m bridgeMessage) [sha256.Size]byte {
	h := sha256.New()
	fmt.Fprintf(h, "%d\x00", m.channel)
	h.Write(m.body)
	return [sha256.Size]byte(h.Sum(nil))
}

func (s *bridgeSeen) has(mark [sha256.Size]byte, now time.Time, within time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.last[mark]
	return ok && now.Sub(t) < within
}

func (s *bridgeSeen) add(mark [sha256.Size]byte, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil || len(s.last) >= maxSeen {
		s.last = map[[sha256.Size]byte]time.Time{}
	}
	s.last[mark] = now
}
