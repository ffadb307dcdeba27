package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"evalq/internal/redisconn"
	"evalq/tasks"
)

// ErrStuck is what Run returns when half of the slots were held by handlers
// that ignore the end of their context. Their goroutines are still there: end
// the process and let a supervisor start another.
var ErrStuck = errors.New("worker: half of the slots are held by handlers that do not stop; restart the process")

// errHandBack is the cause of a context that ends because the worker stops.
var errHandBack = errors.New("worker: the worker is stopping")

const (
	stopEvery   = time.Second // how often cancellations of running jobs are looked for
	strayEvery  = 5 * time.Second
	strayAfter  = time.Minute // an attempt that was begun is known here by then; above a commit's longest time
	returnGrace = 10 * time.Second
	// freshFor is how old the answer to a claim may be: well below the time after
	// which a worker that shows no life is given up.
	freshFor   = 3 * time.Second
	claimTries = 5
)

// Server takes tasks from the three queues. Make one with New.
type Server struct {
	cfg    Config
	ledger Ledger
	rdb    redis.UniversalClient
	id     string
	slots  chan struct{} // one token a handler that has not returned
	fresh  time.Duration // freshFor, but in tests
	kinds  []tasks.Kind  // that it has handlers for, in order
	others *others

	draining atomic.Bool

	mu       sync.Mutex
	arrivals int  // tasks that Asynq has handed over and that are not answered
	handBack bool // attempts that begin now are handed back at once
	active   map[tasks.Fence]*attempt
	stuck    int
	jammed   chan struct{} // closed when half of the slots are stuck
	once     sync.Once

	// writing ends when the worker gives up on writes that its ledger does not
	// take: after the hand-back, never before.
	writing    context.Context
	endWriting context.CancelFunc
}

// New takes the client that the relay uses too. The client must stay open until
// Run has returned. New starts nothing.
func New(rdb redis.UniversalClient, l Ledger, cfg *Config) (*Server, error) {
	c, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if isNil(rdb) {
		return nil, errors.New("worker: the Redis client is nil")
	}
	if isNil(l) {
		return nil, errors.New("worker: the ledger is nil")
	}
	redisconn.GuardClient(rdb)
	s := &Server{
		cfg: c, ledger: l, rdb: rdb, id: "w" + tasks.NewID(time.Now()),
		slots: make(chan struct{}, c.Slots), active: map[tasks.Fence]*attempt{}, jammed: make(chan struct{}), fresh: freshFor,
		kinds: slices.Sorted(maps.Keys(c.Handlers)), others: &others{},
	}
	s.writing, s.endWriting = context.WithCancel(context.Background())
	return s, nil
}

// isNil also finds a nil pointer in an interface.
func isNil(v any) bool {
	r := reflect.ValueOf(v)
	return !r.IsValid() || r.Kind() == reflect.Pointer && r.IsNil()
}

// ID names this worker in attempts and events.
func (s *Server) ID() string {
	if s == nil {
		return ""
	}
	return s.id
}

// Run serves until ctx ends, then drains: it takes no more tasks, gives running
// jobs DrainTimeout, and hands the rest back uncharged. It returns nil after
// that, or ErrStuck. It can run once.
func (s *Server) Run(ctx context.Context) error {
	switch {
	case s == nil || s.ledger == nil:
		return errors.New("worker: Run: make the Server with New")
	case ctx == nil:
		return fmt.Errorf("worker: Run: %w", errNilContext)
	}
	ran := true
	s.once.Do(func() { ran = false })
	if ran {
		return errors.New("worker: Run was called before; make another Server")
	}
	if err := s.join(ctx); err != nil {
		return err
	}
	fetching, stopFetching := context.WithCancel(context.Background())
	defer stopFetching()
	srv := asynq.NewServerFromRedisClient(redisconn.Patient(s.rdb, fetching), s.asynqConfig())
	if err := srv.Start(asynq.HandlerFunc(s.process)); err != nil {
		return errors.Join(fmt.Errorf("worker: start: %w", err), s.leave())
	}
	stopDuties := s.startDuties()
	var result error
	select {
	case <-ctx.Done():
	case <-s.jammed:
		result = ErrStuck
	}
	stopFetching()
	s.drain(srv)
	stopDuties()
	return errors.Join(result, s.leave())
}

func (s *Server) join(ctx context.Context) error {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	// A join that is cut off may have happened, and nobody would leave again.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	err = s.ledger.Join(ctx, tasks.Worker{ID: s.id, Host: host, PID: os.Getpid(), Build: s.cfg.Build, Slots: s.cfg.Slots, Kinds: s.kinds})
	if err != nil {
		return fmt.Errorf("worker: join: %w", err)
	}
	return nil
}

func (s *Server) leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.ledger.Leave(ctx, s.id); err != nil {
		return fmt.Errorf("worker: leave: %w", err)
	}
	return nil
}

// startDuties runs the heartbeat and the look-out for cancellations; the
// returned function ends both and waits.
func (s *Server) startDuties() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		failing := false
		every(ctx, s.cfg.BeatInterval, func() {
			err := s.ledger.Beat(ctx, s.id, s.draining.Load())
			if err != nil && ctx.Err() == nil && !failing {
				s.cfg.Logger.Warn("heartbeats fail; running jobs go on", "worker", s.id, "err", err)
			}
			failing = err != nil
		})
	})
	wg.Go(func() { every(ctx, strayEvery, func() { s.handBackStrays(ctx) }) })
	wg.Go(func() { every(ctx, stopEvery, func() { s.stopCancelled(ctx) }) })
	return func() {
		cancel()
		wg.Wait()
	}
}

func every(ctx context.Context, d time.Duration, f func()) {
	t := time.NewTicker(d)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			f()
		}
	}
}

// handBackStrays gives back what is on record as running here and is not: the
// answer to its Begin was lost.
func (s *Server) handBackStrays(ctx context.Context) {
	n, err := s.ledger.HandBackStrays(ctx, s.id, s.known(), strayAfter)
	if err != nil && ctx.Err() == nil {
		s.cfg.Logger.Warn("stray attempts could not be looked for", "worker", s.id, "err", err)
	}
	if n > 0 {
		s.cfg.Logger.Warn("attempts that this worker had not learned of were handed back", "worker", s.id, "jobs", n)
	}
}

func (s *Server) stopCancelled(ctx context.Context) {
	known := s.known()
	if len(known) == 0 {
		return
	}
	cancelled, stale, err := s.ledger.AskedToStop(ctx, s.id, known)
	if err != nil {
		if ctx.Err() == nil {
			s.cfg.Logger.Debug("cancellations could not be read", "worker", s.id, "err", err)
		}
		return
	}
	s.end(cancelled, tasks.ErrCancelled)
	s.end(stale, tasks.ErrStale)
}

// known lists the attempts that are at work here.
func (s *Server) known() []tasks.Fence {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.active))
}

// works reports whether an attempt at the job is at work here.
func (s *Server) works(job string) bool {
	return slices.ContainsFunc(s.known(), func(f tasks.Fence) bool { return f.Job == job })
}

func (s *Server) end(attempts []tasks.Fence, why error) {
	for _, f := range attempts {
		s.mu.Lock()
		a := s.active[f]
		s.mu.Unlock()
		if a != nil {
			a.cancel(why)
		}
	}
}

// drain stops taking work, waits for what runs, and hands the rest back. The
// order matters: Asynq returns tasks to their queues when it shuts down, so it
// is shut down when ours have let go.
func (s *Server) drain(srv *asynq.Server) {
	s.draining.Store(true)
	srv.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	if err := s.ledger.Beat(ctx, s.id, true); err != nil {
		s.cfg.Logger.Warn("heartbeat failed", "worker", s.id, "err", err)
	}
	cancel()
	if !s.waitIdle(s.cfg.DrainTimeout) {
		s.mu.Lock()
		s.handBack = true
		left := len(s.active)
		for _, a := range s.active {
			a.cancel(errHandBack)
		}
		s.mu.Unlock()
		s.cfg.Logger.Info("running jobs are handed back", "worker", s.id, "jobs", left)
		if !s.waitIdle(returnGrace) {
			s.cfg.Logger.Warn("handlers did not return; their jobs run elsewhere once this process has ended", "worker", s.id)
		}
	}
	s.endWriting()
	srv.Shutdown()
}

// waitIdle waits until every task that arrived is answered, or only those of
// stuck handlers are not.
func (s *Server) waitIdle(limit time.Duration) bool {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		s.mu.Lock()
		working := s.arrivals - s.stuck
		s.mu.Unlock()
		if working <= 0 {
			return true
		}
		select {
		case <-deadline.C:
			return false
		case <-look.C:
		}
	}
}

// countStuck ends the server when half of its slots are stuck.
func (s *Server) countStuck(delta int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stuck += delta
	if delta > 0 && 2*s.stuck >= s.cfg.Slots {
		select {
		case <-s.jammed:
		default:
			close(s.jammed)
		}
	}
}
