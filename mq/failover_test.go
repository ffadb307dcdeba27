package mq_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"evalq/internal/redistest"
	"evalq/mq"
)

// A provider's proxy keeps a connection at the server that it was made to, and says
// in its own words that this has become a replica.
func TestAfterAFailoverThatAProxyTellsInItsOwnWordsMessagesFlowAgain(t *testing.T) {
	t.Parallel()
	first, second := redistest.Start(t, redistest.WithTCP()), redistest.Start(t, redistest.WithTCP())
	proxy := redistest.NewFailover(t, first)
	rdb := redis.NewClient(&redis.Options{Addr: proxy.Addr})
	defer rdb.Close()
	if err := rdb.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	q := mq.NewRedisQueue(rdb)
	defer q.Close()
	got := make(chan int, 100)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- q.Subscribe(ctx, func(_ context.Context, m *mq.Message) error {
			got <- 1
			return nil
		})
	}()
	publish := func(n int64) {
		t.Helper()
		for end := time.Now().Add(time.Minute); ; {
			m := &mq.Message{Type: mq.MessageTypeEvaluationReport, Payload: map[string]any{"user_id": 1, "report_id": n}}
			err := q.Publish(t.Context(), m)
			if err == nil {
				break
			}
			if time.Now().After(end) {
				t.Fatal(err)
			}
		}
		select {
		case <-got:
		case <-time.After(2 * time.Minute):
			t.Fatalf("message %d was not handled", n)
		}
	}
	publish(1)
	host, port, _ := net.SplitHostPort(second.Addr)
	if err := first.Client(t).SlaveOf(t.Context(), host, port).Err(); err != nil {
		t.Fatal(err)
	}
	proxy.Say("-READONLY", "-ERR READONLY")
	proxy.To(second)
	publish(2)
	cancel()
	if err := <-ended; err == nil {
		t.Error("Subscribe ended without saying why")
	}
}
