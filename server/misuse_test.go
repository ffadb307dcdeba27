package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"evalq/client"
	"evalq/server"
	"evalq/tasks"
	"evalq/worker"
)

// noContext is a nil context that the linter does not see.
var noContext context.Context

func opened(t *testing.T, cfg server.Config) *server.Server {
	t.Helper()
	cfg.DataDir, cfg.Listen, cfg.Logger = t.TempDir(), "127.0.0.1:0", slog.New(slog.NewTextHandler(io.Discard, nil))
	s, err := server.Open(t.Context(), &cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestAServerThatIsNilZeroClosedOrUsedTwiceAnswersWithAnError(t *testing.T) {
	t.Parallel()
	for what, s := range map[string]*server.Server{"nil": nil, "zero": {}} {
		if s.Run(t.Context()) == nil || s.URL() != "" || s.Close() != nil {
			t.Errorf("a %s server works", what)
		}
	}
	var invalid *tasks.InvalidError
	if _, err := server.Open(noContext, nil); !errors.As(err, &invalid) {
		t.Errorf("open without a context: %v", err)
	}
	if err := server.Run(noContext, nil); !errors.As(err, &invalid) {
		t.Errorf("run without a context: %v", err)
	}
	s := opened(t, server.Config{})
	if err := s.Run(noContext); !errors.As(err, &invalid) {
		t.Errorf("run an open server without a context: %v", err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := s.Run(t.Context()); !errors.Is(err, server.ErrClosed) {
		t.Errorf("run after Close: %v", err)
	}
}

func TestAServerThatIsClosedWhileItServesDrainsFirst(t *testing.T) {
	t.Parallel()
	began, finish := make(chan struct{}), make(chan struct{})
	s := opened(t, server.Config{Handlers: map[tasks.Kind]worker.Handler{"slow": func(context.Context, tasks.Job) (json.RawMessage, error) {
		close(began)
		<-finish
		return json.RawMessage(`1`), nil
	}}})
	ran := make(chan error, 1)
	go func() { ran <- s.Run(context.Background()) }()
	c, err := client.Open(t.Context(), s.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Submit(t.Context(), tasks.Custom{Name: "slow", UserID: 1, ReportID: 2}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-began:
	case <-time.After(time.Minute):
		t.Fatal("the job did not begin")
	}
	if err := s.Run(t.Context()); err == nil {
		t.Error("it runs twice")
	}
	var closing sync.WaitGroup
	for range 3 {
		closing.Go(func() {
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
	close(finish)
	closing.Wait()
	if err := <-ran; err != nil {
		t.Errorf("run: %v", err)
	}
}

func TestHandlersAndPoliciesThatCannotWorkAreRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	h := func(context.Context, tasks.Job) (json.RawMessage, error) { return json.RawMessage(`"done"`), nil }
	for what, cfg := range map[string]server.Config{
		"a nil handler":                 {Handlers: map[tasks.Kind]worker.Handler{"own": nil}},
		"a nil handler, no worker":      {Handlers: map[tasks.Kind]worker.Handler{"own": nil}, Roles: []string{"api"}, LedgerURL: "postgres://127.0.0.1:1/x"},
		"negative slots":                {Slots: -1},
		"a negative drain":              {DrainTimeout: -1},
		"a policy below zero":           {Policies: func(tasks.Kind) tasks.Policy { return tasks.Policy{Attempts: -1} }},
		"a policy that contradicts":     {Policies: func(tasks.Kind) tasks.Policy { return tasks.Policy{BackoffBase: time.Hour, BackoffMax: time.Second} }},
		"a policy above what is leased": {Policies: func(tasks.Kind) tasks.Policy { return tasks.Policy{TotalTimeout: 1000 * time.Hour} }},
	} {
		cfg.DataDir, cfg.Listen, cfg.Logger = t.TempDir(), "127.0.0.1:0", slog.New(slog.NewTextHandler(io.Discard, nil))
		s, err := server.Open(t.Context(), &cfg)
		if err == nil {
			s.Close()
			t.Errorf("%s: no error", what)
		} else if strings.Contains(err.Error(), "panic") || strings.Contains(what, "nil handler") && !strings.Contains(err.Error(), "own") {
			t.Errorf("%s: %v", what, err)
		}
	}
	// A policy that says nothing is the table's.
	s := serve(t, server.Config{Listen: "127.0.0.1:0", Handlers: map[tasks.Kind]worker.Handler{"own": h}, Policies: func(tasks.Kind) tasks.Policy { return tasks.Policy{} }})
	c, err := client.Open(t.Context(), s.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	job, err := c.Submit(t.Context(), tasks.Custom{Name: "own", UserID: 1, ReportID: 2})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if job, err = c.Wait(ctx, job.ID); err != nil || job.State != tasks.Succeeded {
		t.Errorf("%+v, %v", job, err)
	}
}
