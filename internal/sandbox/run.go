package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	logName   = "server.log"
	dataName  = "data"
	pollEvery = 10 * time.Millisecond
	// pingLimit bounds one question to a server that may hang.
	pingLimit = 5 * time.Second
	dropLimit = 5 * time.Second
	killLimit = 10 * time.Second
)

var (
	errSlow   = errors.New("it did not end in time")
	errClosed = errors.New("it was closed")
)

// run is one life of the server's process.
type run struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process is gone
}

// launch starts the process on the folder and port that the server has, and
// returns when it answers. The caller holds the lock.
func (s *Server) launch(ctx context.Context) error {
	if s.closed {
		return errClosed
	}
	log, err := os.OpenFile(s.path(logName), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	name, args := s.program.command(s)
	cmd := exec.Command(name, append(args, s.cfg.Args...)...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = s.folder, environment(), attributes(s.user)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	r := &run{cmd: cmd, exited: make(chan struct{})}
	go func() {
		defer close(r.exited)
		_ = cmd.Wait() // why it ended is in its log
	}()
	s.run = r
	if err := s.awaitAnswer(ctx); err != nil {
		err = fmt.Errorf("%w; its log ends:\n%s", err, s.logTail())
		return errors.Join(err, s.kill()) // nobody would own it
	}
	return nil
}

func (s *Server) awaitAnswer(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		ask, cancel := context.WithTimeout(ctx, pingLimit)
		last := s.program.ping(ask, s)
		cancel()
		select {
		case <-s.run.exited: // whoever answers, it is not ours
			return errors.New("it ended at once")
		default:
		}
		if last == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.run.exited:
			return errors.New("it ended at once")
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w (%w)", ctx.Err(), last)
		}
	}
}

// end signals the process and waits until it is gone; after limit it is killed.
func (s *Server) end(signal os.Signal, limit time.Duration) error {
	if s.run == nil {
		return nil
	}
	if err := s.run.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return errors.Join(err, s.kill())
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-s.run.exited:
		return s.kill() // what a crash of its own may have left
	case <-timer.C:
		return errors.Join(errSlow, s.kill())
	}
}

// kill ends every process of the server and waits until all are gone.
func (s *Server) kill() error {
	if s.run == nil {
		return nil
	}
	if err := killFamily(s.run.cmd.Process, s.run.cmd.Path, s.path(dataName)); err != nil {
		return err
	}
	timer := time.NewTimer(killLimit)
	defer timer.Stop()
	select {
	case <-s.run.exited:
		s.run = nil
		return nil
	case <-timer.C:
		return fmt.Errorf("process %d is there %v after it was killed", s.run.cmd.Process.Pid, killLimit)
	}
}

// tool runs a program that ends by itself, such as one that makes a data
// folder. What it said is in the error.
func (s *Server) tool(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = s.folder, environment(), attributes(s.user)
	cmd.Cancel = func() error { return killGroup(cmd.Process) }
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w; it said:\n%s", filepath.Base(name), errors.Join(err, ctx.Err()), strings.TrimSpace(string(out)))
	}
	return nil
}

// environment is ours without what would point a server or its tools to
// another server's settings.
func environment() []string {
	var out []string
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "PG") || strings.HasPrefix(name, "MYSQL") || strings.HasPrefix(name, "MARIADB") ||
			strings.HasPrefix(name, "LC_") || name == "LANG" {
			continue
		}
		out = append(out, pair)
	}
	return append(out, "LC_ALL=C")
}
