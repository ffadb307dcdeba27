//go:build unix

package sandbox

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type starter func(context.Context, *Config) (*Server, error)

var starters = map[string]starter{"PostgreSQL": StartPostgres, "MariaDB": StartMariaDB, "Redis": StartRedis}

// started fails the test when the server does not start, and closes it at the
// end.
func started(t *testing.T, start starter, cfg *Config) *Server {
	t.Helper()
	begin := time.Now()
	s, err := start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v started in %v", s.program, time.Since(begin).Round(time.Millisecond))
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// awaitGone waits until a process is gone, which those that the system takes
// over from a dead parent are a moment later.
func awaitGone(t *testing.T, pids ...int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		left := living(t, pids)
		if len(left) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("processes %v are there still", left)
		}
	}
}

func living(t *testing.T, pids []int) []int {
	t.Helper()
	all, err := processes()
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, p := range all {
		for _, pid := range pids {
			if p.pid == pid && p.state != 'Z' && p.state != 'X' {
				out = append(out, pid)
			}
		}
	}
	return out
}

// everyProcess lists a server and its children.
func everyProcess(t *testing.T, s *Server) []int {
	t.Helper()
	all, err := processes()
	if err != nil {
		t.Fatal(err)
	}
	return append(family(all, s.PID(), mark{}), s.PID())
}

func TestDataSurvivesAKillAndARestart(t *testing.T) {
	t.Parallel()
	for name, start := range starters {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := started(t, start, &Config{FsyncAlways: true})
			address := s.URL()
			write(t, s, "kept")
			all := everyProcess(t, s)
			if err := s.Kill(); err != nil {
				t.Fatal(err)
			}
			if left := living(t, all); len(left) > 0 {
				t.Errorf("processes %v are there after Kill has returned", left)
			}
			if err := s.program.ping(t.Context(), s); err == nil {
				t.Fatal("it answers after Kill")
			}
			if err := s.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := read(t, s); got != "kept" {
				t.Errorf("after the restart it has %q, want %q", got, "kept")
			}
			if s.URL() != address {
				t.Errorf("URL after the restart = %q, want %q", s.URL(), address)
			}
		})
	}
}

func TestTwoServersOfAKindKnowNothingOfEachOther(t *testing.T) {
	t.Parallel()
	for name, start := range starters {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one, two := started(t, start, &Config{TCP: true}), started(t, start, &Config{TCP: true})
			write(t, one, "one")
			write(t, two, "two")
			if err := two.Kill(); err != nil {
				t.Fatal(err)
			}
			if got := read(t, one); got != "one" {
				t.Errorf("the first server has %q, want %q", got, "one")
			}
			if err := two.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := read(t, two); got != "two" {
				t.Errorf("the second server has %q, want %q", got, "two")
			}
		})
	}
}

func TestNothingIsLeftAfterClose(t *testing.T) {
	t.Parallel()
	for name, start := range starters {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := started(t, start, nil)
			all, folder := everyProcess(t, s), s.Dir()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			awaitGone(t, all...)
			if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("its folder after Close: %v, want that it is not there", err)
			}
			if err := s.Restart(t.Context()); !errors.Is(err, errClosed) {
				t.Errorf("Restart after Close: %v, want %v", err, errClosed)
			}
			if s.PID() != 0 {
				t.Errorf("PID after Close = %d, want 0", s.PID())
			}
		})
	}
}
