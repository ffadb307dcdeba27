// Package server runs a whole evalq inside another program: ledger, relay,
// workers, API and dashboard in one process, with the program's own handlers
// beside evalq's.
//
//	err := server.Run(ctx, &server.Config{
//		DataDir:  "/var/lib/evalq",
//		Handlers: map[tasks.Kind]worker.Handler{"resume_parse": parseResume},
//	})
//
// Its jobs are submitted like all others, through the API or package client,
// with tasks.Custom as the payload.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"evalq/internal/app"
	"evalq/internal/config"
	"evalq/tasks"
	"evalq/worker"
)

// ErrPortTaken means that another program listens on Config.Listen.
var ErrPortTaken = app.ErrPortTaken

// Config sets a Server up. The zero value works and serves on loopback with the
// embedded engine. It reads no environment.
type Config struct {
	// Listen is the address of the API and the dashboard; port 0 is any free
	// one. Beyond loopback it needs an OperatorToken. Defaults to
	// 127.0.0.1:8080 with the role api or dashboard, else none.
	Listen string
	// DataDir is the folder of the ledger, for one process at a time. Defaults
	// to evalq in the user's data folder.
	DataDir string
	// RedisURL is a Redis to carry the queue: redis://, rediss:// or unix://.
	// Defaults to none: the embedded engine.
	RedisURL string
	// LedgerURL is a database that many processes share as their ledger:
	// postgres:// or mysql://. It needs a RedisURL. Defaults to none: SQLite in
	// DataDir, for this process alone.
	LedgerURL string
	// Roles are the parts that run in this process: some of api, worker, relay,
	// dashboard and bridge. With a LedgerURL a platform may run a process that only works.
	// Without the roles api and dashboard it listens only if Listen is set.
	// Defaults to all.
	Roles []string
	// Namespace begins the names of the queues in Redis, so that several ledgers
	// can share one. Defaults to none.
	Namespace string
	// PlatformDB is the mysql:// URL of the interview platform's own database. The
	// built-in kinds take their interviews from it and write their results there.
	// Handlers that replace theirs are called only for interviews that it has and
	// in which something was answered. Defaults to none.
	PlatformDB string
	// PlatformEndpoints serves results at the platform's own addresses too.
	// Defaults to false.
	PlatformEndpoints bool
	// BridgeRedisURL is the Redis on whose Pub/Sub channels old programs publish;
	// what they publish becomes jobs. Defaults to none: no bridge, unless Roles name
	// it; then it is RedisURL.
	BridgeRedisURL string
	// OperatorToken and ViewerToken sign people and programs in; 8 characters
	// at least. Default to none.
	OperatorToken, ViewerToken string
	// Slots is how many jobs run at once. Defaults to 10.
	Slots int
	// DrainTimeout is how long running jobs may go on when Run's context has
	// ended; then they are handed back. It has to be above 2 minutes. Defaults
	// to 5 minutes.
	DrainTimeout time.Duration
	// InterviewWait is how long a job waits for its interview. Defaults to 24 h.
	InterviewWait time.Duration
	// KindWait is how long a job waits for a worker that handles its kind, while
	// other workers are at work. Defaults to 24 h.
	KindWait time.Duration
	// History is how long the events and attempts of a finished job are kept, 24 h
	// at least. Below zero keeps them for ever. Defaults to 90 days.
	History time.Duration
	// Handlers serve the program's own kinds. One for a built-in kind replaces
	// evalq's. Defaults to none.
	Handlers map[tasks.Kind]worker.Handler
	// Classify gives a class to handlers' errors that carry none; see
	// worker.Config. Defaults to none.
	Classify func(error) tasks.Class
	// Policies overrides the policy table by kind; a field that it leaves zero has
	// the table's value. Open refuses a policy that does not Validate for one of
	// Handlers or a built-in kind. Defaults to tasks.PolicyFor.
	Policies func(tasks.Kind) tasks.Policy
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

// ErrClosed: the Server was closed.
var ErrClosed = errors.New("server: it is closed")

var errNilContext = &tasks.InvalidError{Err: errors.New("the context is nil")}

// Server is an open evalq. It listens already; Run begins to answer. Make one with
// Open: the methods of the zero value return errors.
type Server struct {
	app *app.App

	mu     sync.Mutex
	ran    bool
	closed bool
	stop   context.CancelFunc // ends Run
	ended  chan struct{}      // closed when Run has returned
	close  sync.Once
	err    error
}

// Open opens the ledger, the engine and the listener. The caller closes the
// Server after Run.
func Open(ctx context.Context, cfg *Config) (*Server, error) {
	if ctx == nil {
		return nil, fmt.Errorf("server: open: %w", errNilContext)
	}
	var c Config
	if cfg != nil {
		c = *cfg
	}
	for k, h := range c.Handlers {
		if h == nil {
			return nil, fmt.Errorf("server: Handlers[%q]: is nil", k)
		}
	}
	settings, err := c.settings()
	if err != nil {
		return nil, err
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	a, err := app.Open(ctx, settings, app.Extras{Handlers: c.Handlers, Classify: c.Classify, Policies: c.Policies}, c.Logger)
	if err != nil {
		return nil, err
	}
	return &Server{app: a}, nil
}

// settings are the program's own, read as if c were its environment, so that
// they are checked by the same rules.
func (c Config) settings() (config.Config, error) {
	var environ []string
	set := func(name, value string) {
		if value != "" {
			environ = append(environ, name+"="+value)
		}
	}
	// Without a home there is no default for DataDir, and Load says so.
	home, _ := os.UserHomeDir()
	set("HOME", home)
	set("EVALQ_LISTEN", c.Listen)
	set("EVALQ_DATA_DIR", c.DataDir)
	set("EVALQ_REDIS_URL", c.RedisURL)
	set("EVALQ_LEDGER_URL", c.LedgerURL)
	set("EVALQ_ROLES", strings.Join(c.Roles, ","))
	set("EVALQ_NAMESPACE", c.Namespace)
	set("EVALQ_PLATFORM_DB", c.PlatformDB)
	if c.PlatformEndpoints {
		set("EVALQ_PLATFORM_ENDPOINTS", "true")
	}
	set("EVALQ_BRIDGE_REDIS_URL", c.BridgeRedisURL)
	set("EVALQ_OPERATOR_TOKEN", c.OperatorToken)
	set("EVALQ_VIEWER_TOKEN", c.ViewerToken)
	for name, d := range map[string]time.Duration{"EVALQ_SHUTDOWN_TIMEOUT": c.DrainTimeout, "EVALQ_INTERVIEW_WAIT": c.InterviewWait, "EVALQ_KIND_WAIT": c.KindWait} {
		if d != 0 {
			set(name, d.String())
		}
	}
	if c.History != 0 {
		set("EVALQ_HISTORY", max(0, c.History).String())
	}
	if c.Slots != 0 {
		set("EVALQ_CONCURRENCY", strconv.Itoa(c.Slots))
	}
	s, err := config.Load(environ, nil, "")
	if err != nil {
		return config.Config{}, fmt.Errorf("server: %w", err)
	}
	return *s, nil
}

// URL is where the server answers.
func (s *Server) URL() string {
	if s == nil || s.app == nil {
		return ""
	}
	return s.app.URL()
}

// Run serves until ctx ends or Close is called, then drains. It returns
// worker.ErrStuck when half of the slots are held by handlers that do not stop: end
// the process then. It can run once; after Close the error is ErrClosed.
func (s *Server) Run(ctx context.Context) error {
	if s == nil || s.app == nil {
		return errNotOpened
	}
	if ctx == nil {
		return fmt.Errorf("server: run: %w", errNilContext)
	}
	ctx, done, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	s.app.LogStart()
	return s.app.Run(ctx)
}

var errNotOpened = errors.New("server: there is none: make it with server.Open")

func (s *Server) begin(ctx context.Context) (context.Context, func(), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, nil, ErrClosed
	case s.ran:
		return nil, nil, errors.New("server: Run was called before; open another Server")
	}
	s.ran = true
	ctx, s.stop = context.WithCancel(ctx)
	s.ended = make(chan struct{})
	return ctx, func() {
		s.stop()
		close(s.ended)
	}, nil
}

// Close releases the ledger, the engine and the listener. While Run serves, Close
// ends it and waits for it to drain. It may be called again.
func (s *Server) Close() error {
	if s == nil || s.app == nil {
		return nil
	}
	s.close.Do(func() {
		s.mu.Lock()
		s.closed = true
		stop, ended := s.stop, s.ended
		s.mu.Unlock()
		if stop != nil {
			stop()
			<-ended
		}
		s.err = s.app.Close()
	})
	return s.err
}

// Run opens a Server, serves until ctx ends, and closes it.
func Run(ctx context.Context, cfg *Config) error {
	s, err := Open(ctx, cfg)
	if err != nil {
		return err
	}
	return errors.Join(s.Run(ctx), s.Close())
}
