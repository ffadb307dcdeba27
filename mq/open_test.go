package mq_test

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"evalq/client"
	"evalq/internal/redistest"
	"evalq/mq"
	"evalq/tasks"
)

// nowhere is an address at which nothing listens.
func nowhere(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

func TestOpenGivesTheKindThatItWasTold(t *testing.T) {
	t.Parallel()
	_, rdb := startRedis(t)
	for kind, want := range map[string]string{mq.KindMemory: "*mq.InMemoryQueue", mq.KindRedis: "*mq.RedisQueue", mq.KindAuto: "*mq.RedisQueue", "": "*mq.RedisQueue"} {
		if q := opened(t, mq.Config{Kind: kind, Redis: rdb}); fmt.Sprintf("%T", q) != want {
			t.Errorf("%q gives %T", kind, q)
		}
	}
}

func TestOpenNamesTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]mq.Config{
		"Config.Kind":         {Kind: "kafka"},
		"Config.Buffer":       {Buffer: -1},
		"Config.Concurrency":  {Concurrency: 10_001},
		"Config.Attempts":     {Attempts: -1},
		"Config.Pause":        {Pause: -1},
		"Config.Timeout":      {Timeout: -1},
		"Config.DrainTimeout": {DrainTimeout: -1},
		"Redis URL":           {RedisURL: "http://secret@x"},
	} {
		if _, err := mq.Open(t.Context(), &cfg); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestWithoutRedisAQueueThatHasToBeOnItIsAnError(t *testing.T) {
	t.Parallel()
	_, err := mq.Open(t.Context(), &mq.Config{Kind: mq.KindRedis, RedisURL: "redis://:hunter2@" + nowhere(t)})
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "redis does not answer") {
		t.Errorf("opened: %v", err)
	}
}

func TestARedisThatRefusesIsAnErrorAndNoReasonToKeepMessagesInMemory(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.WithTCP(), redistest.WithPassword("hunter2"))
	url := "redis://:wrong@" + server.Client(t).Options().Addr
	for _, kind := range []string{mq.KindAuto, mq.KindRedis} {
		q, err := mq.Open(t.Context(), &mq.Config{Kind: kind, RedisURL: url})
		if err == nil || !strings.Contains(err.Error(), "redis refuses") || strings.Contains(err.Error(), "wrong@") {
			t.Errorf("%s: %T, %v", kind, q, err)
		}
	}
}

func TestWithoutRedisAndWithoutALedgerMessagesStayInMemoryAndTheLogSaysSo(t *testing.T) {
	t.Parallel()
	alone(t) // nobody's UseClient
	var lines logbook
	q := opened(t, mq.Config{RedisURL: "redis://" + nowhere(t), Logger: lines.logger()})
	if _, ok := q.(*mq.InMemoryQueue); !ok || lines.lines("END WITH THIS PROCESS") != 1 {
		t.Errorf("a %T", q)
	}
}

func TestWhatIsPublishedWithoutRedisIsInTheLedgerAndOtherMessagesFlowWhenItIsBack(t *testing.T) {
	t.Parallel()
	alone(t)
	server, rdb := startRedis(t)
	server.Stop()
	ledger := evalq(t)
	var lines logbook
	q := opened(t, mq.Config{Redis: rdb, Client: ledger, Logger: lines.logger()})
	if lines.lines("evaluations go to evalq's ledger") != 1 {
		t.Error("the log does not say where messages go")
	}
	mq.InitMessageQueue(q)
	got := make(chan *mq.Message, 1)
	background(t, func(ctx context.Context) error {
		return q.Subscribe(ctx, func(_ context.Context, m *mq.Message) error { got <- m; return nil })
	})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for n := range uint64(20) {
		must(t, mq.PublishEvaluationReport(ended, 7, n+1), mq.PublishTopicEvaluation(ended, 7, n+1))
	}
	n := 0
	for j, err := range ledger.All(t.Context(), tasks.Filter{UserID: 7}) {
		must(t, err)
		n++
		if j.ReportID > 20 {
			t.Errorf("report %d", j.ReportID)
		}
	}
	if n != 40 {
		t.Errorf("%d of 40 are in the ledger", n)
	}
	server.Restart()
	must(t, q.Publish(t.Context(), &mq.Message{Type: "resume_parse"}))
	receive(t, "a message of another type", got)
}

func TestMessagesFromBeforeTheLedgerBecomeItsJobs(t *testing.T) {
	t.Parallel()
	_, s := onRedisAlone(t)
	for range 2 {
		must(t, mq.PublishEvaluationReport(t.Context(), 7, 42))
	}
	ledger := evalq(t)
	mq.UseClient(ledger)
	mq.SetEvaluationService(nil, nil)
	consume(t)
	eventually(t, "it is a job", func() bool {
		_, err := ledger.Find(t.Context(), tasks.KindEvaluationReport, 7, 42)
		return err == nil
	})
	eventually(t, "both messages are gone", func() bool { return mq.Ready(t.Context()) == nil })
	if len(s.calls) != 0 {
		t.Error("the platform's own function was called too")
	}
}

func TestALedgerThatIsAwayIsAnErrorOfPublishAndNothingGoesElsewhere(t *testing.T) {
	t.Parallel()
	rdb, _ := onRedisAlone(t)
	ledger, err := client.Open(t.Context(), "http://"+nowhere(t), &client.Config{Timeout: time.Second})
	must(t, err)
	t.Cleanup(func() { _ = ledger.Close() })
	mq.UseClient(ledger)
	if err := mq.PublishEvaluationReport(t.Context(), 7, 42); err == nil {
		t.Error("it was published")
	}
	if n, err := rdb.DBSize(t.Context()).Result(); n != 0 || err != nil {
		t.Errorf("Redis has %d keys, %v", n, err)
	}
}

func TestTenThousandMessagesInABurstNeedFewGoroutinesAndLittleMemory(t *testing.T) {
	const messages = 10_000
	_, rdb := startRedis(t)
	for name, q := range map[string]mq.MessageQueue{
		"memory": opened(t, mq.Config{Kind: mq.KindMemory, Buffer: messages}),
		"redis":  opened(t, quick(rdb)),
	} {
		before := usage()
		for n := range messages {
			must(t, q.Publish(t.Context(), &mq.Message{Type: "t", Payload: map[string]any{"n": n, "text": strings.Repeat("x", 100)}}))
		}
		var handled atomic.Int64
		var most peak
		all := make(chan struct{})
		stop, _ := background(t, func(ctx context.Context) error {
			return q.Subscribe(ctx, func(ctx context.Context, _ *mq.Message) error {
				pause, cancel := context.WithTimeout(ctx, time.Millisecond) // slow
				defer cancel()
				<-pause.Done()
				switch n := handled.Add(1); {
				case n == messages:
					close(all)
				case n%500 == 0:
					most.note(usage())
				}
				return nil
			})
		})
		receive(t, "the last message", all)
		_ = stop()
		goroutines, heap := most.goroutines-before.goroutines, (most.heap-before.heap)>>10
		t.Logf("%s: at most %d goroutines and %d KiB of heap more than before", name, goroutines, heap)
		if goroutines > 60 || heap > 64<<10 {
			t.Errorf("%s: %d goroutines, %d KiB", name, goroutines, heap)
		}
	}
}

// figures are goroutines, and bytes of heap.
type figures struct{ goroutines, heap int64 }

// peak keeps the highest figures.
type peak struct {
	mu sync.Mutex
	figures
}

func (p *peak) note(u figures) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.goroutines, p.heap = max(p.goroutines, u.goroutines), max(p.heap, u.heap)
}

func usage() figures {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return figures{int64(runtime.NumGoroutine()), int64(m.HeapAlloc)}
}
