package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// journal notes what happens, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) note(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

// member notes its stop after a while in which a wrong order would show.
func (j *journal) member(name string) func(context.Context) error {
	return func(ctx context.Context) error {
		<-ctx.Done()
		j.note(name + " asked")
		<-time.After(time.Second)
		j.note(name + " stopped")
		return ctx.Err()
	}
}

func quiet() *Group { return &Group{Logger: slog.New(slog.DiscardHandler)} }

func TestRunStopsInReverseOrderOneByOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		g := quiet()
		for _, name := range []string{"engine", "relay", "api"} {
			g.Add(name, j.member(name))
		}
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- g.Run(ctx) }()
		synctest.Wait()
		if len(j.lines) != 0 {
			t.Fatalf("before the end: %v", j.lines)
		}
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run = %v, want nil after an orderly stop", err)
		}
		want := []string{"api asked", "api stopped", "relay asked", "relay stopped", "engine asked", "engine stopped"}
		if diff := cmp.Diff(want, j.lines); diff != "" {
			t.Errorf("the stop went wrong (-want +got):\n%s", diff)
		}
	})
}

func TestRunStartsInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		g := &Group{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
		for _, name := range []string{"first", "second", "third"} {
			g.Add(name, func(context.Context) error { return nil })
		}
		if err := g.Run(t.Context()); err != nil {
			t.Fatalf("Run = %v, want nil when all members have finished", err)
		}
		text := log.String()
		places := []int{strings.Index(text, "starting name=first"), strings.Index(text, "starting name=second"), strings.Index(text, "starting name=third")}
		if places[0] < 0 || places[1] < places[0] || places[2] < places[1] {
			t.Errorf("the log does not have the starts in order:\n%s", text)
		}
	})
}

func TestRunReturnsTheFirstErrorWithTheMembersName(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		g := quiet()
		g.Add("engine", j.member("engine"))
		g.Add("relay", func(context.Context) error {
			<-time.After(time.Minute)
			return io.ErrUnexpectedEOF
		})
		g.Add("api", func(ctx context.Context) error {
			<-ctx.Done()
			return errors.New("a later failure")
		})
		err := g.Run(t.Context())
		if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.HasPrefix(err.Error(), "service: relay: ") {
			t.Errorf("Run = %v, want relay's io.ErrUnexpectedEOF", err)
		}
		if diff := cmp.Diff([]string{"engine asked", "engine stopped"}, j.lines); diff != "" {
			t.Errorf("the others were not stopped (-want +got):\n%s", diff)
		}
	})
}

func TestRunReturnsAnErrorThatComesWithTheStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := quiet()
		g.Add("ledger", func(ctx context.Context) error {
			<-ctx.Done()
			return io.ErrShortWrite
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := g.Run(ctx); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("Run = %v, want io.ErrShortWrite", err)
		}
	})
}

func TestRunTakesACancellationByItselfAsAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := quiet()
		g.Add("worker", func(context.Context) error { return fmt.Errorf("inner: %w", context.Canceled) })
		if err := g.Run(t.Context()); !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v, want the error of a member that nobody stopped", err)
		}
	})
}

func TestRunGoesOnWithoutAMemberThatFinished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		g := quiet()
		g.Add("once", func(context.Context) error { return nil })
		g.Add("api", j.member("api"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start := time.Now()
		if err := g.Run(ctx); err != nil {
			t.Errorf("Run = %v", err)
		}
		if took := time.Since(start); took != time.Hour+time.Second {
			t.Errorf("Run took %v, want the hour and api's second", took)
		}
	})
}

func TestRunTurnsAPanicIntoAnErrorWithItsStack(t *testing.T) {
	t.Parallel()
	g := quiet()
	g.Add("worker", func(context.Context) error { panic(io.ErrClosedPipe) })
	err := g.Run(t.Context())
	var p *PanicError
	if !errors.As(err, &p) || !errors.Is(err, io.ErrClosedPipe) {
		t.Fatalf("Run = %v, want a PanicError of io.ErrClosedPipe", err)
	}
	if !strings.Contains(err.Error(), "group_test.go") || !strings.HasPrefix(err.Error(), "service: worker: panic: ") {
		t.Errorf("Run = %v, want the member's name and the line that panicked", err)
	}
}

func TestRunNoticesAGoroutineThatExits(t *testing.T) {
	t.Parallel()
	g := quiet()
	g.Add("worker", func(context.Context) error { runtime.Goexit(); return nil })
	if err := g.Run(t.Context()); !errors.Is(err, errExited) {
		t.Errorf("Run = %v, want errExited", err)
	}
}

func TestRunStartsNothingUnderAnEndedContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g := quiet()
	g.Add("api", func(context.Context) error { t.Error("it was started"); return nil })
	if err := g.Run(ctx); err != nil {
		t.Errorf("Run = %v", err)
	}
}

func TestRunHandsDownTheValuesOfItsContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	g := quiet()
	g.Add("api", func(ctx context.Context) error {
		if ctx.Value(key{}) != "v" {
			t.Error("the value is gone")
		}
		return nil
	})
	if err := g.Run(context.WithValue(t.Context(), key{}, "v")); err != nil {
		t.Error(err)
	}
}

func TestRunStartsAndStopsAgainAndAgain(t *testing.T) {
	t.Parallel()
	failure := errors.New("failure")
	for i := range 300 {
		g := quiet()
		for n := range 8 {
			g.Add(fmt.Sprint(n), func(ctx context.Context) error {
				if i%3 == 0 && n == i%8 {
					return failure
				}
				<-ctx.Done()
				return nil
			})
		}
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		if err := g.Run(ctx); err != nil && !errors.Is(err, failure) {
			t.Fatalf("round %d: Run = %v", i, err)
		}
		cancel()
	}
}
