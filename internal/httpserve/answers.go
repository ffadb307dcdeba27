package httpserve

import (
	"context"
	"errors"
	"net/http"
	"time"
)

const (
	maxAnswers      = 16 // answers to reading requests that are made or held in memory at once
	operatorAnswers = 4  // of them, for operators alone
	answerWait      = 15 * time.Second
	maxLoose        = 32 << 20
)

// ErrBusy means that too many answers are being made. It is no reason to give up.
var ErrBusy = errors.New("too many answers are being made at once; ask again in a moment")

// SignedIn says who sends the request that ctx belongs to, once that is known.
// An operator's connection makes room last. Elsewhere than under a Server it
// does nothing.
func SignedIn(ctx context.Context, isOperator bool) {
	c, ok := ctx.Value(connKey{}).(*conn)
	if !ok {
		return
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.rank = viewer
	if isOperator {
		c.rank = operator
	}
}

// Hold waits until there is room in memory for one more answer to a reading
// request; it is given up again when the request ends. A long poll and a probe
// do not wait, and neither does what is asked elsewhere than under a Server.
// When the room is taken by answers that their clients do not read, the one that
// has waited longest is given up. The error is ErrBusy or the context's.
func Hold(r *http.Request) error {
	c, ok := r.Context().Value(connKey{}).(*conn)
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead || r.URL.Query().Has("wait") {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), answerWait, ErrBusy)
	defer cancel()
	for {
		freed, again, ok := c.s.take(c, time.Now())
		if ok {
			return nil
		}
		look := time.NewTimer(again)
		select {
		case <-freed:
		case <-look.C:
		case <-ctx.Done():
			look.Stop()
			return context.Cause(ctx)
		}
		look.Stop()
	}
}

// take counts c's answer, if there is room. Otherwise freed is closed when there
// may be, and again is when to look in any case.
func (s *Server) take(c *conn, now time.Time) (freed <-chan struct{}, again time.Duration, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := maxAnswers - operatorAnswers
	if c.rank == operator {
		limit = maxAnswers
	}
	if c.exempt || c.held {
		return nil, 0, true
	}
	if s.held >= limit {
		s.evict(s.victim(func(other *conn) bool { return other.held && other.pending > 0 && other.stalled(now) }))
	}
	if s.held >= limit {
		return s.freed, stalledAfter / 4, false
	}
	c.held = true
	s.held++
	return nil, 0, true
}

// release counts c's answer no longer. The caller holds the lock.
func (s *Server) release(c *conn) {
	if !c.held {
		return
	}
	c.held = false
	s.held--
	close(s.freed)
	s.freed = make(chan struct{})
}

// boundLoose gives up answers that were not waited for with Hold, while too much
// of them lies in memory unread. The caller holds the lock and writes for c.
func (s *Server) boundLoose(c *conn) {
	now := time.Now()
	for s.loose > maxLoose {
		worst := s.victim(func(other *conn) bool { return other != c && other.loose && other.stalled(now) })
		if worst == nil {
			return
		}
		s.evict(worst)
	}
}
