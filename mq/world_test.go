package mq_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"evalq/client"
	"evalq/internal/redistest"
	"evalq/mq"
	"evalq/server"
)

// patience is how long something that has to happen may take on a busy machine.
const patience = 60 * time.Second

var package_ sync.Mutex

// alone has the state of the package for one test at a time.
func alone(t *testing.T) {
	t.Helper()
	package_.Lock()
	t.Cleanup(func() {
		mq.InitMessageQueue(nil)
		mq.SetEvaluationService(nil, nil)
		mq.UseClient(nil)
		package_.Unlock()
	})
}

// call is one evaluation that was asked for.
type call struct {
	what   string
	user   uint
	report uint64
}

// platform is the program around the queue; it notes what it is called with. Fail, when set, decides how each ends.
type platform struct {
	calls chan call
	fail  func(call) error
}

func newService() *platform { return &platform{calls: make(chan call, 10_000)} }

func (s *platform) evaluate(what string) func(context.Context, uint, uint64) error {
	return func(_ context.Context, user uint, report uint64) error {
		c := call{what, user, report}
		s.calls <- c
		if s.fail != nil {
			return s.fail(c)
		}
		return nil
	}
}

// use makes it the package's.
func (s *platform) use() { mq.SetEvaluationService(s.evaluate("report"), s.evaluate("topic")) }

func (s *platform) next(t *testing.T) call {
	t.Helper()
	return receive(t, "an evaluation", s.calls)
}

// await takes n calls.
func (s *platform) await(t *testing.T, n int) (calls []call) {
	t.Helper()
	for range n {
		calls = append(calls, s.next(t))
	}
	return calls
}

// none checks that there was no other call, by one that comes behind it.
func (s *platform) none(t *testing.T) {
	t.Helper()
	if err := mq.PublishTopicEvaluation(context.Background(), 999, 999); err != nil {
		t.Fatal(err)
	}
	if c := s.next(t); c != (call{"topic", 999, 999}) {
		t.Errorf("one evaluation too many: %v", c)
	}
}

func receive[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("%s did not come in %v", what, patience)
		panic("unreachable")
	}
}

// background runs f until the test ends or stop is called, which gives its error.
func background(t *testing.T, f func(ctx context.Context) error) (stop func() error, ended <-chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	result, copied := make(chan error, 1), make(chan error, 1)
	go func() {
		err := f(ctx)
		result <- err
		copied <- err
	}()
	var once sync.Once
	var err error
	stop = func() error {
		once.Do(func() {
			cancel()
			err = receive(t, "the end of what runs in the background", result)
		})
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return stop, copied
}

// quick settings for a queue on rdb.
func quick(rdb *redis.Client) mq.Config {
	return mq.Config{Kind: mq.KindRedis, Redis: rdb, Pause: 5 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
}

func startRedis(t *testing.T, options ...redistest.Option) (*redistest.Server, *redis.Client) {
	t.Helper()
	s := redistest.Start(t, options...)
	return s, s.Client(t)
}

// logbook is a logger whose lines can be looked at while it is used.
type logbook struct {
	mu    sync.Mutex
	bytes bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes.Write(p)
}

func (l *logbook) lines(with string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.bytes.String()) {
		if strings.Contains(line, with) {
			n++
		}
	}
	return n
}

func (l *logbook) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// eventually asks until it holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	limit, again := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer again.Stop()
	for !holds() {
		select {
		case <-again.C:
		case <-limit:
			t.Fatalf("%s: not in %v", what, patience)
		}
	}
}

// evalq runs a whole evalq and gives a client of it.
func evalq(t *testing.T) *client.Client {
	t.Helper()
	return evalqWith(t, &server.Config{})
}

// evalqWith is evalq with settings of its own.
func evalqWith(t *testing.T, cfg *server.Config) *client.Client {
	t.Helper()
	cfg.Listen, cfg.DataDir, cfg.Logger = "127.0.0.1:0", t.TempDir(), slog.New(slog.DiscardHandler)
	s, err := server.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	c, err := client.Open(t.Context(), s.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(c.Close(), <-ran, s.Close()); err != nil {
			t.Error(err)
		}
	})
	return c
}
