package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynqmon"
	"github.com/redis/go-redis/v9"
)

// openEmbedded opens an engine, runs its clock, and ends both with the test.
func openEmbedded(t *testing.T, cfg *EmbeddedConfig) *Embedded {
	t.Helper()
	e, err := OpenEmbedded(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run = %v", err)
		}
		if err := e.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	return e
}

// serve runs an asynq server with handle until the test ends.
func serve(t *testing.T, c redis.UniversalClient, handle asynq.HandlerFunc) {
	t.Helper()
	srv := asynq.NewServerFromRedisClient(c, asynq.Config{
		Concurrency:       4,
		Queues:            map[string]int{"critical": 6, "default": 3, "low": 1},
		TaskCheckInterval: 10 * time.Millisecond,
		LogLevel:          asynq.FatalLevel,
	})
	if err := srv.Start(handle); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Shutdown)
}

func TestEmbeddedCarriesTasksFromClientToHandler(t *testing.T) {
	t.Parallel()
	e := openEmbedded(t, nil)
	const tasks = 200
	handled := make(chan string, tasks)
	serve(t, e.Client(), func(_ context.Context, task *asynq.Task) error {
		handled <- string(task.Payload())
		return nil
	})
	client := asynq.NewClientFromRedisClient(e.Client())
	queues := []string{"critical", "default", "low"}
	for i := range tasks {
		task := asynq.NewTask("evaluation_report", []byte(strconv.Itoa(i)))
		if _, err := client.Enqueue(task, asynq.Queue(queues[i%3]), asynq.TaskID(fmt.Sprintf("t%d", i))); err != nil {
			t.Fatalf("enqueue task %d: %v", i, err)
		}
	}
	seen := map[string]int{}
	deadline := time.After(30 * time.Second)
	for range tasks {
		select {
		case payload := <-handled:
			seen[payload]++
		case <-deadline:
			t.Fatalf("handled %d tasks of %d in 30s", len(seen), tasks)
		}
	}
	if len(seen) != tasks {
		t.Errorf("handled %d different tasks, want %d", len(seen), tasks)
	}
	if got := e.created.Load(); got != tasks {
		t.Errorf("counted %d tasks, want %d", got, tasks)
	}
}

func TestEmbeddedArchivesAFailedTaskAndRunsItAgainOnRequest(t *testing.T) {
	t.Parallel()
	e := openEmbedded(t, nil)
	attempts := make(chan int, 2)
	serve(t, e.Client(), func(context.Context, *asynq.Task) error {
		attempts <- 1
		if len(attempts) == 1 {
			return fmt.Errorf("first try: %w", asynq.SkipRetry)
		}
		return nil
	})
	client := asynq.NewClientFromRedisClient(e.Client())
	if _, err := client.Enqueue(asynq.NewTask("k", nil), asynq.TaskID("one"), asynq.Retention(time.Hour)); err != nil {
		t.Fatal(err)
	}
	inspector := asynq.NewInspectorFromRedisClient(e.Client())
	waitForState(t, inspector, "one", asynq.TaskStateArchived)
	if err := inspector.RunTask("default", "one"); err != nil {
		t.Fatal(err)
	}
	waitForState(t, inspector, "one", asynq.TaskStateCompleted)
}

func waitForState(t *testing.T, inspector *asynq.Inspector, id string, want asynq.TaskState) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for {
		info, err := inspector.GetTaskInfo("default", id)
		if err == nil && info.State == want {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("task %q is %+v (%v) after 20s, want state %v", id, info, err, want)
		}
	}
}

func TestEmbeddedUniqueLockExpiresWhileRunning(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := openEmbedded(t, nil)
		client := asynq.NewClientFromRedisClient(e.Client())
		task := asynq.NewTask("k", []byte("same"))
		if _, err := client.Enqueue(task, asynq.Unique(time.Minute)); err != nil {
			t.Fatal(err)
		}
		<-time.After(55 * time.Second)
		if _, err := client.Enqueue(task, asynq.Unique(time.Minute)); !errors.Is(err, asynq.ErrDuplicateTask) {
			t.Fatalf("enqueue after 55s = %v, want asynq.ErrDuplicateTask", err)
		}
		<-time.After(7 * time.Second)
		if _, err := client.Enqueue(task, asynq.Unique(time.Minute)); err != nil {
			t.Fatalf("enqueue after 62s = %v, want the lock of one minute to be gone", err)
		}
	})
}

func TestEmbeddedTicksMoreRarelyWhenCrowded(t *testing.T) {
	t.Parallel()
	e := openEmbedded(t, nil)
	if got := e.tickPeriod(t.Context()); got != usualTick {
		t.Errorf("tick of an empty engine = %v, want %v", got, usualTick)
	}
	pairs := make([]any, 0, 2*(crowdedKeys+1))
	for i := range crowdedKeys + 1 {
		pairs = append(pairs, "k"+strconv.Itoa(i), "")
	}
	if err := e.Client().MSet(t.Context(), pairs...).Err(); err != nil {
		t.Fatal(err)
	}
	if got := e.tickPeriod(t.Context()); got != crowdedTick {
		t.Errorf("tick with %d keys = %v, want %v", crowdedKeys+1, got, crowdedTick)
	}
}

func TestEmbeddedTakesLongPipelines(t *testing.T) {
	t.Parallel()
	e := openEmbedded(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	fill := func(p redis.Pipeliner) error {
		for i := range 3000 {
			p.Set(ctx, "key:"+strconv.Itoa(i), strings.Repeat("v", 100), 0)
		}
		return nil
	}
	for name, send := range map[string]func(context.Context, func(redis.Pipeliner) error) ([]redis.Cmder, error){
		"pipeline":    e.Client().Pipelined,
		"transaction": e.Client().TxPipelined,
	} {
		answers, err := send(ctx, fill)
		if err != nil || len(answers) != 3000 {
			t.Errorf("%s of 3000 commands: %d answers, %v", name, len(answers), err)
		}
	}
}

func TestEmbeddedPublisherDoesNotWaitForSlowSubscriber(t *testing.T) {
	t.Parallel()
	e := openEmbedded(t, nil)
	conn, err := e.dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 64)); err != nil { // the confirmation, then never again
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	message := strings.Repeat("m", 10_000)
	for i := range 100 {
		if err := e.Client().Publish(ctx, "c", message).Err(); err != nil {
			t.Fatalf("publish %d: %v", i, err)
		}
	}
}

// ownOpt hands out one client, as evalq does for Asynqmon.
type ownOpt struct{ client redis.UniversalClient }

func (o ownOpt) MakeRedisClient() any { return o.client }

func TestEmbeddedFillsAsynqmonsRedisPage(t *testing.T) {
	t.Parallel()
	e := openEmbedded(t, nil)
	if err := e.Client().Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	page := asynqmon.New(asynqmon.Options{RootPath: "/", RedisConnOpt: ownOpt{e.Client()}})
	answer := httptest.NewRecorder()
	page.ServeHTTP(answer, httptest.NewRequest("GET", "/api/redis_info", nil))
	var got struct {
		Address string            `json:"address"`
		Info    map[string]string `json:"info"`
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil {
		t.Fatalf("GET /api/redis_info answered %d %q: %v", answer.Code, answer.Body, err)
	}
	if got.Address != "embedded" {
		t.Errorf("address = %q, want embedded", got.Address)
	}
	for _, field := range []string{
		"redis_version", "uptime_in_days", "used_memory_human", "used_memory_peak_human",
		"mem_fragmentation_ratio", "connected_clients", "connected_slaves", "rdb_last_save_time",
	} {
		if got.Info[field] == "" {
			t.Errorf("info has no %s; it has %v", field, got.Info)
		}
	}
	if n, err := strconv.Atoi(got.Info["used_memory"]); err != nil || n < 1<<10 {
		t.Errorf("used_memory = %q, want the size of this process' heap", got.Info["used_memory"])
	}
	if got.Info["connected_clients"] == "0" {
		t.Error("connected_clients = 0, want at least the one that asks")
	}
	if got.Info["rdb_changes_since_last_save"] != "1" {
		t.Errorf("rdb_changes_since_last_save = %q after one SET, want 1", got.Info["rdb_changes_since_last_save"])
	}
}

func TestEmbeddedInfoAnswersTheSectionAskedFor(t *testing.T) {
	t.Parallel()
	e := openEmbedded(t, nil)
	got, err := e.Client().Info(t.Context(), "replication").Result()
	if err != nil {
		t.Fatal(err)
	}
	if want := "# Replication\r\nrole:master\r\nconnected_slaves:0\r\n"; got != want {
		t.Errorf("INFO replication = %q, want %q", got, want)
	}
	if got, err := e.Client().Info(t.Context(), "nonsense").Result(); got != "" || err != nil {
		t.Errorf("INFO nonsense = %q, %v, want nothing", got, err)
	}
}

func TestHumanBytesWritesSizesAsRedisDoes(t *testing.T) {
	t.Parallel()
	for n, want := range map[uint64]string{
		0: "0B", 1023: "1023B", 1024: "1.00K", 1536 * 1024: "1.50M", 3 << 30: "3.00G", 5 << 50: "5120.00T",
	} {
		if got := humanBytes(n); got != want {
			t.Errorf("humanBytes(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestEmbeddedWarnsOfItsLeakOnceForEachHalfMillionTasks(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	e, err := OpenEmbedded(&EmbeddedConfig{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var warned int64
	for _, n := range []int64{0, 499_999, 500_000, 500_001, 1_000_000, 1_400_000} {
		e.created.Store(n)
		warned = e.warnOfLeak(warned)
	}
	if got := strings.Count(log.String(), "level=WARN"); got != 2 {
		t.Errorf("%d warnings on the way to 1,400,000 tasks, want 2:\n%s", got, &log)
	}
}

func TestEmbeddedStartsAndClosesAgainAndAgain(t *testing.T) {
	t.Parallel()
	for range 20 {
		e, err := OpenEmbedded(nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- e.Run(ctx) }()
		if err := e.Client().Ping(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-ran; err != nil {
			t.Fatalf("Run = %v", err)
		}
		if err := e.Close(); err != nil {
			t.Fatalf("Close = %v", err)
		}
		if err := e.Close(); err != nil {
			t.Fatalf("second Close = %v", err)
		}
		if _, err := e.dial(t.Context(), "", ""); err == nil {
			t.Fatal("a closed engine accepted a connection")
		}
	}
}
