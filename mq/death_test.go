package mq_test

import (
	"bufio"
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"evalq/internal/redistest"
	"evalq/mq"
)

// dieWithOne publishes a message, lets a process take it, and kills that.
func dieWithOne(t *testing.T, rdb *redis.Client) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "hang")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./testdata/hang").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = append(cmd.Environ(), "REDIS_ADDR="+rdb.Options().Addr)
	out, err := cmd.StdoutPipe()
	must(t, err, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	must(t, mq.NewRedisQueue(rdb).Publish(t.Context(), &mq.Message{Type: "t", Payload: map[string]any{"n": 1}}))
	took := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		took <- line
	}()
	if line := receive(t, "the first process", took); !strings.HasPrefix(line, "took") {
		t.Fatalf("it printed %q", line)
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
}

func TestAMessageOfAKilledProcessIsHandledByAnother(t *testing.T) {
	t.Parallel()
	_, rdb := startRedis(t, redistest.WithTCP())
	dieWithOne(t, rdb)
	killed := time.Now()
	q := opened(t, quick(rdb))
	got := make(chan *mq.Message, 1)
	background(t, func(ctx context.Context) error {
		return q.Subscribe(ctx, func(_ context.Context, m *mq.Message) error { got <- m; return nil })
	})
	receive(t, "the message", got)
	t.Logf("handled %.1f s after the kill", time.Since(killed).Seconds())
}

func TestAMessageWithWhichProcessesDieIsSetAside(t *testing.T) {
	t.Parallel()
	_, rdb := startRedis(t, redistest.WithTCP())
	dieWithOne(t, rdb)
	cfg := quick(rdb)
	cfg.Attempts = 1
	q := opened(t, cfg)
	background(t, func(ctx context.Context) error {
		return q.Subscribe(ctx, func(context.Context, *mq.Message) error {
			t.Error("it reached another handler")
			return nil
		})
	})
	inspector := asynq.NewInspectorFromRedisClient(rdb)
	eventually(t, "it is set aside", func() bool {
		dead, err := inspector.ListArchivedTasks("mq")
		return err == nil && len(dead) == 1 && strings.Contains(dead[0].LastErr, "1 processes died with it")
	})
}
