//go:build unix

package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"evalq/internal/redistest"
)

// managedConfig is for a short folder of the test's own.
func managedConfig(t *testing.T) *ManagedConfig {
	t.Helper()
	dir, err := os.MkdirTemp("", "em")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return &ManagedConfig{Dir: dir, Logger: slog.New(slog.DiscardHandler)}
}

func openManaged(t *testing.T, cfg *ManagedConfig) *Managed {
	t.Helper()
	m, err := OpenManaged(t.Context(), cfg)
	if errors.Is(err, ErrNoBinary) {
		t.Fatal("redis-server is not on PATH: install it (apt-get install redis-server)")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	return m
}

// abandon lets go of everything as the death of this process would, and leaves
// the child to itself.
func (m *Managed) abandon() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.lock.Close()
}

// run runs the engine until the returned function is called.
func run(t *testing.T, m *Managed) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- m.Run(ctx) }()
	stop = func() {
		cancel()
		if err, open := <-ran; open && err != nil {
			t.Errorf("Run = %v", err)
		}
		close(ran)
	}
	return stop
}

func managedClient(t *testing.T, m *Managed) *redis.Client {
	t.Helper()
	u, err := url.Parse(m.URL())
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(&redis.Options{Network: "unix", Addr: u.Path, ContextTimeoutEnabled: true})
	t.Cleanup(func() { c.Close() })
	return c
}

func TestManagedBringsAKilledChildBackWithItsData(t *testing.T) {
	t.Parallel()
	m := openManaged(t, managedConfig(t))
	defer run(t, m)()
	c := managedClient(t, m)
	client := asynq.NewClientFromRedisClient(c)
	const tasks = 100
	for i := range tasks {
		if _, err := client.Enqueue(asynq.NewTask("k", nil), asynq.TaskID("t"+strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
	}
	// While an fsync is slow, everysec lets Redis keep writes back for up to 2 s;
	// a kill then loses them, and bringing those back is the ledger's business.
	await(t, "writes are in the file", func() bool {
		info, err := c.Info(t.Context(), "persistence").Result()
		return err == nil && strings.Contains(info, "aof_buffer_length:0\r")
	})
	for range 3 { // the back-off grows, the data stays
		first := m.current().pid
		if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		await(t, "another child", func() bool { return m.current().pid != first })
		info, err := asynq.NewInspectorFromRedisClient(c).GetQueueInfo("default")
		if err != nil || info.Pending != tasks {
			t.Fatalf("after a kill the queue is %+v, %v, want %d pending tasks", info, err, tasks)
		}
	}
	handled := make(chan string, tasks)
	serve(t, c, func(_ context.Context, task *asynq.Task) error {
		handled <- task.Type()
		return nil
	})
	await(t, "all tasks handled", func() bool { return len(handled) == tasks })
}

// await polls until ok, and fails the test after a while.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited 20s for %s", what)
		}
	}
}

func TestManagedAdoptsASurvivorAndStopsItLast(t *testing.T) {
	t.Parallel()
	cfg := managedConfig(t)
	first := openManaged(t, cfg)
	if err := managedClient(t, first).Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	pid := first.current().pid
	first.abandon()

	second := openManaged(t, cfg)
	if got := second.current().pid; got != pid {
		t.Fatalf("process %d, want the survivor %d", got, pid)
	}
	stop := run(t, second)
	c := managedClient(t, second)
	if got := c.Get(t.Context(), "k").Val(); got != "v" {
		t.Errorf("k = %q, want v", got)
	}
	stop()
	if err := c.Ping(t.Context()).Err(); err != nil {
		t.Errorf("the server is gone after Run, before Close: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if listens(second.socket) {
		t.Error("the adopted server still runs after Close")
	}
	third := openManaged(t, cfg)
	if got := managedClient(t, third).Get(t.Context(), "k").Val(); got != "v" {
		t.Errorf("after a stop and a start k = %q, want v", got)
	}
}

func TestManagedBringsBackAnAdoptedServerThatDies(t *testing.T) {
	t.Parallel()
	cfg := managedConfig(t)
	first := openManaged(t, cfg)
	pid := first.current().pid
	first.abandon()
	second := openManaged(t, cfg)
	defer run(t, second)()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await(t, "a child of our own", func() bool { return second.current().pid != pid })
	if err := managedClient(t, second).Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
}

func TestManagedKeepsItsChildWhenAnOperatorCutsTheConnections(t *testing.T) {
	t.Parallel()
	m := openManaged(t, managedConfig(t))
	defer run(t, m)()
	c := managedClient(t, m)
	clients := func() int {
		list, err := c.ClientList(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(list, "id=")
	}
	await(t, "the watching connection", func() bool { return clients() >= 2 })
	pid := m.current().pid
	if err := c.ClientKillByFilter(t.Context(), "TYPE", "normal", "SKIPME", "yes").Err(); err != nil {
		t.Fatal(err)
	}
	await(t, "the watching connection again", func() bool { return clients() >= 2 })
	if got := m.current().pid; got != pid {
		t.Errorf("process %d, want still %d", got, pid)
	}
}

func TestManagedRefusesAFolderInUse(t *testing.T) {
	t.Parallel()
	cfg := managedConfig(t)
	openManaged(t, cfg)
	if _, err := OpenManaged(t.Context(), cfg); !errors.Is(err, ErrInUse) {
		t.Errorf("second OpenManaged = %v, want ErrInUse", err)
	}
}

func TestManagedRefusesAServerThatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	cfg := managedConfig(t)
	redistest.Start(t, redistest.WithTCP(), redistest.WithArgs("--unixsocket", filepath.Join(cfg.Dir, "r.sock")))
	_, err := OpenManaged(t.Context(), cfg)
	if err == nil || !strings.Contains(err.Error(), "not ours") {
		t.Errorf("OpenManaged = %v, want a refusal of a server that is not ours", err)
	}
}

func TestManagedSaysWhyAChildDidNotStart(t *testing.T) {
	t.Parallel()
	cfg := managedConfig(t)
	aof := filepath.Join(cfg.Dir, "appendonlydir")
	if err := os.WriteFile(aof, nil, 0o600); err != nil { // a file where a folder is needed
		t.Fatal(err)
	}
	_, err := OpenManaged(t.Context(), cfg)
	if err == nil || !strings.Contains(err.Error(), "ended at once") || !strings.Contains(err.Error(), "appendonlydir") {
		t.Errorf("OpenManaged = %v, want the end of the server's log", err)
	}
	if err := os.Remove(aof); err != nil {
		t.Fatal(err)
	}
	openManaged(t, cfg) // the folder's lock was released
}

func TestManagedUsesAShortSocketForADeepFolder(t *testing.T) {
	t.Parallel()
	cfg := managedConfig(t)
	cfg.Dir = filepath.Join(cfg.Dir, strings.Repeat("deep/", 30))
	m := openManaged(t, cfg)
	t.Cleanup(func() { os.RemoveAll(filepath.Dir(m.socket)) })
	if len(m.socket) > maxSocketPath {
		t.Errorf("socket %q is %d bytes long", m.socket, len(m.socket))
	}
	if again, err := socketPath(m.cfg.Dir); err != nil || again != m.socket {
		t.Errorf("a later process looks at %q, %v, want %q", again, err, m.socket)
	}
	if err := managedClient(t, m).Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
}

func TestMakePrivateRefusesAFolderThatOthersMayEnter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Mkdir(filepath.Join(dir, "private"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "private"), link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{open, link} {
		if err := makePrivate(path); err == nil {
			t.Errorf("makePrivate(%q) accepted it", path)
		}
	}
	if err := makePrivate(filepath.Join(dir, "private")); err != nil {
		t.Errorf("a private folder: %v", err)
	}
}

func TestManagedWaitsWhileItsChildLoads(t *testing.T) {
	t.Parallel()
	cfg := managedConfig(t)
	m := openManaged(t, cfg)
	const keys = 10_000
	pipe := managedClient(t, m).Pipeline()
	for i := range keys {
		pipe.Set(t.Context(), "k"+strconv.Itoa(i), "v", 0)
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	slow := *cfg
	slow.Binary = script(t, `[ "$1" = --version ] && exec redis-server --version
exec redis-server "$@" --key-load-delay 200`)
	slow.StartTimeout = time.Second
	start := time.Now()
	again := openManaged(t, &slow)
	if took := time.Since(start); took < slow.StartTimeout {
		t.Fatalf("loading took %v, too short to prove anything", took)
	}
	if n, err := managedClient(t, again).DBSize(t.Context()).Result(); err != nil || n != keys {
		t.Errorf("%d keys, %v, want %d", n, err, keys)
	}
}

// script makes a program for the shell.
func script(t *testing.T, lines string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "server")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+lines+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestManagedRefusesAnUnfitBinary(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ binary, want string }{
		"old":      {script(t, "echo 'Redis server v=6.0.16 sha=00000000:0 malloc=jemalloc-5.2.1'"), "6.0.16"},
		"other":    {script(t, "echo hello"), "not a Redis or Valkey server"},
		"broken":   {script(t, "exit 3"), "exit status 3"},
		"no file":  {filepath.Join(t.TempDir(), "none"), "none"},
		"no shell": {"evalq-no-such-program", "evalq-no-such-program"},
	} {
		cfg := managedConfig(t)
		cfg.Binary = c.binary
		if _, err := OpenManaged(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: OpenManaged = %v, want an error about %q", name, err, c.want)
		}
	}
}

func TestManagedSaysWhatToInstallWithoutABinary(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := OpenManaged(t.Context(), &ManagedConfig{Dir: t.TempDir()})
	if !errors.Is(err, ErrNoBinary) || !strings.Contains(err.Error(), "apt-get install redis-server") {
		t.Errorf("OpenManaged = %v, want ErrNoBinary and what to install", err)
	}
}

func TestManagedRefusesBadSettings(t *testing.T) {
	t.Parallel()
	for field, cfg := range map[string]*ManagedConfig{
		"Dir":          nil,
		"StartTimeout": {Dir: "x", StartTimeout: -1},
		"StopTimeout":  {Dir: "x", StopTimeout: -1},
	} {
		if _, err := OpenManaged(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("OpenManaged with a bad %s = %v, want an error that names it", field, err)
		}
	}
}

func TestNewEnoughMeansSixPointTwo(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{
		"6.0.16": false, "6.2.0": true, "7.0.15": true, "8.0.1-rc1": true, "10.1": true, "5.9": false, "": false, "x.y": false,
	} {
		if got := newEnough(version); got != want {
			t.Errorf("newEnough(%q) = %v, want %v", version, got, want)
		}
	}
}

func TestManagedLogsWhatBecomesOfItsChild(t *testing.T) {
	t.Parallel()
	cfg := managedConfig(t)
	var log bytes.Buffer
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	m := openManaged(t, cfg)
	stop := run(t, m)
	pid := m.current().pid
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await(t, "another child", func() bool { return m.current().pid != pid })
	stop()
	for _, want := range []string{"the queue's server ended", fmt.Sprint("pid=", pid), "runs again"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %q:\n%s", want, &log)
		}
	}
}
