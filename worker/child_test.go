package worker_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"evalq/internal/ledger"
	"evalq/internal/ledger/sqlite"
	"evalq/internal/relay"
	"evalq/tasks"
	"evalq/worker"
)

// childRole, in the environment, makes the test binary another program: one
// that a test can kill, or watch as it dies.
const childRole = "EVALQ_TEST_CHILD"

func init() {
	role := os.Getenv(childRole)
	if role == "" {
		return
	}
	go func() { // a child ends with its parent, whatever ends that
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	args := os.Args[1:]
	rdb := redis.NewClient(&redis.Options{Network: "unix", Addr: args[0]})
	switch role {
	case "asynq":
		childAsynq(rdb, asynq.Config{}, hang)
	case "asynq with a hook that panics":
		childAsynq(rdb, panicking(args[1]), func(context.Context, *asynq.Task) error { return fmt.Errorf("no") })
	case "asynq whose client is closed":
		childAsynq(rdb, asynq.Config{}, func(context.Context, *asynq.Task) error {
			return rdb.Close()
		})
	case "evalq":
		childEvalq(rdb, args[1])
	}
	panic("no such role: " + role)
}

// hang says that it was called and never returns.
func hang(context.Context, *asynq.Task) error {
	fmt.Println("started")
	select {}
}

// panicking has one hook, which panics.
func panicking(hook string) asynq.Config {
	switch hook {
	case "ErrorHandler":
		return asynq.Config{ErrorHandler: asynq.ErrorHandlerFunc(func(context.Context, *asynq.Task, error) { panic("in " + hook) })}
	case "RetryDelayFunc":
		return asynq.Config{RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { panic("in " + hook) }}
	case "IsFailure":
		return asynq.Config{IsFailure: func(error) bool { panic("in " + hook) }}
	}
	panic("no such hook: " + hook)
}

func childAsynq(rdb *redis.Client, cfg asynq.Config, h asynq.HandlerFunc) {
	cfg.TaskCheckInterval = 10 * time.Millisecond
	if err := asynq.NewServerFromRedisClient(rdb, cfg).Start(h); err != nil {
		panic(err)
	}
	select {}
}

// childEvalq is a whole program in miniature.
func childEvalq(rdb *redis.Client, dir string) {
	ctx := context.Background()
	db, err := sqlite.Open(ctx, dir, &ledger.Config{Policies: fast})
	if err != nil {
		panic(err)
	}
	r, err := relay.New(db.Ledger, rdb, nil)
	if err != nil {
		panic(err)
	}
	go func() { _ = r.Run(ctx) }()
	s, err := worker.New(rdb, db.Ledger, &worker.Config{Handlers: map[tasks.Kind]worker.Handler{
		kind: func(ctx context.Context, _ tasks.Job) (json.RawMessage, error) { return nil, hang(ctx, nil) },
	}})
	if err != nil {
		panic(err)
	}
	panic(s.Run(ctx))
}

// child is such a program.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string
	said  words
}

func spawn(t *testing.T, role string, args ...string) *child {
	t.Helper()
	c := &child{t: t, cmd: exec.Command(os.Args[0], args...), lines: make(chan string, 100)}
	c.cmd.Env = append(os.Environ(), childRole+"="+role)
	c.cmd.Stderr = &c.said
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			c.lines <- s.Text()
		}
	}()
	t.Cleanup(c.kill)
	return c
}

// awaitStart waits until the child's handler runs.
func (c *child) awaitStart() {
	c.t.Helper()
	select {
	case line := <-c.lines:
		if line != "started" {
			c.t.Fatalf("the child says %q:\n%s", line, &c.said.text)
		}
	case <-time.After(30 * time.Second):
		c.t.Fatal("in 30 s the child's handler was not called")
	}
}

// kill ends the child as a crash or the kernel's want of memory would.
func (c *child) kill() {
	if c.cmd.ProcessState != nil {
		return
	}
	_ = c.cmd.Process.Signal(syscall.SIGKILL)
	_ = c.cmd.Wait() // how it ended is of no interest: it was killed
}

// awaitDeath waits until the child has died by itself, of a panic with that text.
func (c *child) awaitDeath(text string) {
	c.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- c.cmd.Wait() }()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		_ = c.cmd.Process.Kill()
		<-ended
		c.t.Fatal("in 30 s the child did not die")
	}
	c.said.mu.Lock()
	defer c.said.mu.Unlock()
	if said := c.said.text.String(); c.cmd.ProcessState.ExitCode() != 2 || !strings.Contains(said, text) {
		c.t.Fatalf("it ended with %d:\n%s", c.cmd.ProcessState.ExitCode(), said)
	}
}
