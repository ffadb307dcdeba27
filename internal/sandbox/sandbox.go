// Package sandbox starts private database and Redis servers on this machine:
// for tests, for experiments that kill them, and for benchmarks. Each has a
// folder, a free loopback port and a password of its own, so it meets no
// server that is here already.
//
// A server runs in a process group of its own and does not end with this
// process: whoever starts one must [Server.Close] it.
package sandbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// startLimit is generous, for machines that compile while they test and
	// for databases that recover from a crash.
	startLimit = time.Minute
	stopLimit  = 30 * time.Second
	portTries  = 5
)

// Config has the settings of a [Server].
type Config struct {
	// Dir is the folder in which the server's own folder is made. It must
	// exist. PostgreSQL that root starts runs as another user: Dir must let that
	// one pass, and is made to when it is a temporary folder of ours. Defaults
	// to the system's folder for temporary files.
	Dir string
	// TCP has Redis listen on a free loopback port in place of a unix socket.
	// The databases always listen on one. Defaults to false.
	TCP bool
	// FsyncAlways has Redis sync every write before it answers, where it
	// otherwise syncs once a second. Defaults to false.
	FsyncAlways bool
	// Args come last on the server's command line, so they win over ours.
	// Defaults to none.
	Args []string
	// InitArgs come last on the command line that makes a database's data
	// folder. Defaults to none.
	InitArgs []string
}

// Server is a running server that belongs to the caller. Its methods may be
// called concurrently; those that start or end it wait for each other.
type Server struct {
	program  program
	cfg      Config
	folder   string // everything of this server is in it
	port     int    // 0 with a unix socket only
	password string
	user     *account // whom it runs as; nil is who we are

	mu     sync.Mutex // guards the fields below
	run    *run
	closed bool
}

// program is what the kinds of servers differ in.
type program interface {
	// prepare makes an empty data folder.
	prepare(ctx context.Context, s *Server) error
	// command is the server's program and its arguments.
	command(s *Server) (string, []string)
	// ping returns nil when the server answers to us, and not to just anybody.
	ping(ctx context.Context, s *Server) error
	url(s *Server, database string) string
	// stopSignal makes the server end orderly, dropSignal in haste, leaving
	// nothing in the kernel.
	stopSignal() os.Signal
	dropSignal() os.Signal
	String() string
}

// start runs an empty server of a kind. On an error nothing is left of it.
func start(ctx context.Context, p program, cfg *Config, tcp bool, user *account) (_ *Server, err error) {
	s := &Server{program: p, password: rand.Text(), user: user}
	if cfg != nil {
		s.cfg = *cfg
		s.cfg.Args = append([]string(nil), cfg.Args...)
		s.cfg.InitArgs = append([]string(nil), cfg.InitArgs...)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("sandbox: start %v: %w", p, err), s.Close())
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if s.folder, err = makeFolder(s.cfg.Dir, user); err != nil {
		return nil, err
	}
	if err := p.prepare(ctx, s); err != nil {
		return nil, fmt.Errorf("make its data folder: %w", err)
	}
	for try := 1; ; try++ {
		if tcp {
			if s.port, err = freePort(); err != nil {
				return nil, err
			}
		}
		if err = s.firstLaunch(ctx); err == nil {
			return s, nil
		}
		// Another process may have taken the port in the meantime.
		if !tcp || try == portTries || isFree(s.port) {
			return nil, err
		}
	}
}

func (s *Server) firstLaunch(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.launch(ctx)
}

// URL is the address of the server with its password, as evalq takes it. For
// the databases it names the database evalq, which is empty at first.
func (s *Server) URL() string { return s.program.url(s, firstDatabase) }

// Addr is the server's host:port, empty when it has a unix socket only.
func (s *Server) Addr() string {
	if s.port == 0 {
		return ""
	}
	return net.JoinHostPort(loopback, strconv.Itoa(s.port))
}

// Dir is the server's folder. It has its data and its log, server.log.
func (s *Server) Dir() string { return s.folder }

// PID is the process id of the server, 0 when it does not run.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run == nil {
		return 0
	}
	select {
	case <-s.run.exited:
		return 0
	default:
		return s.run.cmd.Process.Pid
	}
}

// Kill ends the server and all its processes at once, as a loss of power would,
// but that what was written to files is kept by the system. It returns when
// they are gone. Killing a server that was ended does nothing.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.kill(); err != nil {
		return fmt.Errorf("sandbox: kill %v: %w", s.program, err)
	}
	return nil
}

// Stop ends the server orderly. One that does not end in time is killed, and
// that is an error.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.end(s.program.stopSignal(), stopLimit); err != nil {
		return fmt.Errorf("sandbox: stop %v: %w", s.program, err)
	}
	return nil
}

// Restart stops the server if it runs, and starts it again with its data at
// the same address. It returns when the server answers; ctx bounds that.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	err := s.end(s.program.stopSignal(), stopLimit)
	if err == nil {
		err = s.launch(ctx)
	}
	if err != nil {
		return fmt.Errorf("sandbox: restart %v: %w", s.program, err)
	}
	return nil
}

// Close ends the server in haste and removes its folder. Closing again does
// nothing.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	var errs []error
	// A database that is asked to end gives its shared memory back; one that
	// does not end soon is killed all the same.
	if err := s.end(s.program.dropSignal(), dropLimit); err != nil && !errors.Is(err, errSlow) {
		errs = append(errs, err)
	}
	if s.folder != "" {
		freeSharedMemory(s.path(dataName))
		errs = append(errs, os.RemoveAll(s.folder))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sandbox: close %v: %w", s.program, err)
	}
	return nil
}

func (s *Server) path(name string) string { return filepath.Join(s.folder, name) }

// logTail has the last lines of the server's log, for people.
func (s *Server) logTail() string {
	b, err := os.ReadFile(s.path(logName))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-12):], "\n")
}
