// Package redistest starts real Redis servers for tests. Only _test files
// import it.
package redistest

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// startTimeout is generous, for machines that compile while they test.
const startTimeout = 20 * time.Second

// Server is a redis-server of one test. Its methods fail the test that
// started it and are not safe for concurrent use.
type Server struct {
	// URL is what evalq takes as --redis-url, password included.
	URL string
	// Socket is the path of the unix socket, empty with [WithTCP].
	Socket string
	// Addr is host:port with [WithTCP], else empty.
	Addr string
	// Dir holds the server's data and its log, redis.log.
	Dir string

	tb       testing.TB
	binary   string
	aof      bool
	tcp      bool
	password string
	extra    []string
	cmd      *exec.Cmd
	exited   chan struct{} // closed once the process is gone
}

// Option changes how [Start] sets a server up.
type Option func(*Server)

// WithAOF keeps every write in an append-only file that is synced before the
// answer, so that data survives [Server.Kill] and [Server.Restart].
func WithAOF() Option { return func(s *Server) { s.aof = true } }

// WithTCP listens on a free loopback port in place of a unix socket.
func WithTCP() Option { return func(s *Server) { s.tcp = true } }

// WithPassword makes the default user need a password.
func WithPassword(password string) Option { return func(s *Server) { s.password = password } }

// WithArgs appends arguments to the server's command line.
func WithArgs(args ...string) Option { return func(s *Server) { s.extra = append(s.extra, args...) } }

// Start runs an empty redis-server that answers when Start returns and is
// stopped when the test ends. Nothing is persisted unless [WithAOF] is given.
// It fails the test when redis-server is not installed.
func Start(tb testing.TB, options ...Option) *Server {
	tb.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		tb.Fatal("redistest: redis-server is not on PATH: install it (apt-get install redis-server, " +
			"brew install redis), or let `make test` do so")
	}
	s := &Server{tb: tb, binary: binary}
	for _, option := range options {
		option(s)
	}
	s.Dir = shortDir(tb)
	address := &url.URL{Scheme: "unix", Path: filepath.Join(s.Dir, "r.sock")}
	if s.tcp {
		s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(FreePort(tb)))
		address = &url.URL{Scheme: "redis", Host: s.Addr}
	} else {
		s.Socket = address.Path
	}
	if s.password != "" {
		address.User = url.UserPassword("", s.password)
	}
	s.URL = address.String()
	// Registered after the folder's own removal, so done before it.
	tb.Cleanup(s.Kill)
	s.run()
	return s
}

// shortDir makes a folder whose path leaves room for a socket's name: a
// socket's path holds about 100 bytes, and tb.TempDir has the test's name in it.
func shortDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "rt")
	if err != nil {
		tb.Fatalf("redistest: make a folder for the server: %v", err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Errorf("redistest: remove the server's folder: %v", err)
		}
	})
	return dir
}

// FreePort returns a TCP port of the loopback interface that nobody listened
// on a moment ago.
func FreePort(tb testing.TB) int {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("redistest: find a free port: %v", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Client returns a client that is closed when the test ends.
func (s *Server) Client(tb testing.TB) *redis.Client {
	tb.Helper()
	c := redis.NewClient(s.options())
	tb.Cleanup(func() {
		if err := c.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
			tb.Errorf("redistest: close the client: %v", err)
		}
	})
	return c
}

func (s *Server) options() *redis.Options {
	o := &redis.Options{Network: "tcp", Addr: s.Addr, Password: s.password, ContextTimeoutEnabled: true}
	if !s.tcp {
		o.Network, o.Addr = "unix", s.Socket
	}
	return o
}

// PID is the process id of the running server.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Stop asks the server to end and waits until it has. Data survives only with
// [WithAOF].
func (s *Server) Stop() { s.end(os.Interrupt) }

// Kill ends the server at once, as a crash would, and waits until it is gone.
func (s *Server) Kill() { s.end(os.Kill) }

func (s *Server) end(signal os.Signal) {
	s.tb.Helper()
	if s.cmd == nil { // it never started
		return
	}
	if err := s.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.tb.Errorf("redistest: signal the server: %v", err)
	}
	select {
	case <-s.exited:
	case <-time.After(startTimeout):
		s.tb.Errorf("redistest: the server did not end within %v of %v; its log:\n%s", startTimeout, signal, s.log())
	}
}

// Restart stops the server if it runs, and starts it again at the same place.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Stop()
	s.run()
}

func (s *Server) run() {
	s.tb.Helper()
	cmd := exec.Command(s.binary, s.args()...)
	cmd.Dir = s.Dir
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Start(); err != nil {
		s.tb.Fatalf("redistest: start %s: %v", s.binary, err)
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = cmd.Wait() // how it ended is of no interest: tests kill it
	}()
	s.cmd, s.exited = cmd, exited
	s.awaitAnswer()
}

func (s *Server) args() []string {
	args := []string{
		"--dir", s.Dir, "--logfile", filepath.Join(s.Dir, "redis.log"),
		"--save", "", "--maxmemory-policy", "noeviction",
	}
	if s.tcp {
		host, port, _ := net.SplitHostPort(s.Addr) // our own JoinHostPort made it
		args = append(args, "--bind", host, "--port", port)
	} else {
		args = append(args, "--port", "0", "--unixsocket", s.Socket, "--unixsocketperm", "700")
	}
	if s.aof {
		args = append(args, "--appendonly", "yes", "--appendfsync", "always")
	}
	if s.password != "" {
		args = append(args, "--requirepass", s.password)
	}
	return append(args, s.extra...)
}

func (s *Server) awaitAnswer() {
	s.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	options := s.options()
	c := redis.NewClient(options)
	defer c.Close()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		// Dialled here first: the client prints each failure of its own.
		if conn, err := net.Dial(options.Network, options.Addr); err == nil {
			conn.Close()
			if c.Ping(ctx).Err() == nil {
				return
			}
		}
		select {
		case <-tick.C:
		case <-s.exited:
			s.tb.Fatalf("redistest: the server ended at once; its log:\n%s", s.log())
		case <-ctx.Done():
			s.tb.Fatalf("redistest: the server did not answer within %v; its log:\n%s", startTimeout, s.log())
		}
	}
}

func (s *Server) log() string {
	b, err := os.ReadFile(filepath.Join(s.Dir, "redis.log"))
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b))
}
