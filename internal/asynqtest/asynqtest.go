// Package asynqtest runs Asynq as it is, without a ledger, so that a test can
// first show a defect of it and then that it does no harm here. Only _test
// files import it.
package asynqtest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// limit bounds every wait. It is generous, for machines that compile while they
// test.
const limit = 30 * time.Second

// Server is a plain Asynq server.
type Server struct {
	tb   testing.TB
	log  lines
	stop func()
}

// Start runs a server that looks for work often and is shut down when the test
// ends. What cfg leaves out is set to be quick: one queue "default", four slots,
// retries without a delay.
func Start(tb testing.TB, rdb redis.UniversalClient, cfg asynq.Config, h asynq.HandlerFunc) *Server {
	tb.Helper()
	s := &Server{tb: tb}
	if cfg.Concurrency == 0 {
		cfg.Concurrency = 4
	}
	if cfg.RetryDelayFunc == nil {
		cfg.RetryDelayFunc = func(int, error, *asynq.Task) time.Duration { return 0 }
	}
	cfg.TaskCheckInterval, cfg.DelayedTaskCheckInterval = 10*time.Millisecond, 50*time.Millisecond
	cfg.Logger, cfg.LogLevel = &s.log, asynq.InfoLevel
	srv := asynq.NewServerFromRedisClient(rdb, cfg)
	if err := srv.Start(h); err != nil {
		tb.Fatalf("asynqtest: start: %v", err)
	}
	s.stop = sync.OnceFunc(srv.Shutdown)
	tb.Cleanup(s.stop)
	return s
}

// Shutdown ends the server as a program in order does.
func (s *Server) Shutdown() { s.stop() }

// Logged reports whether a line of the server's log has that text in it.
func (s *Server) Logged(text string) bool { return s.log.have(text) }

// AwaitLog waits for a line with that text in it.
func (s *Server) AwaitLog(text string) {
	s.tb.Helper()
	Eventually(s.tb, fmt.Sprintf("Asynq logs %q", text), func() bool { return s.log.have(text) })
}

// lines keeps what Asynq logs.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) have(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.all {
		if strings.Contains(line, text) {
			return true
		}
	}
	return false
}

func (l *lines) add(args []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, fmt.Sprint(args...))
}

func (l *lines) Debug(args ...any) { l.add(args) }
func (l *lines) Info(args ...any)  { l.add(args) }
func (l *lines) Warn(args ...any)  { l.add(args) }
func (l *lines) Error(args ...any) { l.add(args) }
func (l *lines) Fatal(args ...any) { l.add(args) }

// Eventually waits until ok is true.
func Eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	deadline := time.After(limit)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-deadline:
			tb.Fatalf("in %s it did not happen that %s", limit, what)
		case <-look.C:
		}
	}
}
