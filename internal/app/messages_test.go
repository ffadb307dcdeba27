package app

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"evalq/mq"
)

func TestMessagesThatNobodyTakesTurnReadinessRed(t *testing.T) {
	t.Parallel()
	a := start(t, settings(t, nil), Extras{})
	is := func(want int) bool {
		status, _ := call(t, http.MethodGet, a.URL()+"/readyz", "")
		return status == want
	}
	if !is(http.StatusOK) {
		t.Fatal("not ready at first")
	}
	q := mq.NewRedisQueue(a.engine.client.(*redis.Client))
	defer q.Close()
	if err := q.Publish(t.Context(), &mq.Message{Type: "t"}); err != nil {
		t.Fatal(err)
	}
	if !is(http.StatusServiceUnavailable) {
		t.Error("ready, though a message waits and nobody has subscribed")
	}
	got := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- q.Subscribe(ctx, func(context.Context, *mq.Message) error { close(got); return nil })
	}()
	<-got
	for again := time.NewTicker(10 * time.Millisecond); !is(http.StatusOK); <-again.C {
		if t.Context().Err() != nil {
			t.Fatal("not ready with a consumer")
		}
	}
	cancel()
	<-ended
}

func TestTheLogTellsEachMinuteOfMessagesThatNobodyTakes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var lines bytes.Buffer
		m := &messages{
			ready: func(context.Context) error { return mq.ErrNoConsumer },
			every: time.Minute, log: slog.New(slog.NewTextHandler(&lines, nil)),
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute+time.Second)
		defer cancel()
		if err := m.run(ctx); err != nil {
			t.Error(err)
		}
		if n := strings.Count(lines.String(), "level=ERROR"); n != 3 {
			t.Errorf("%d lines in three minutes:\n%s", n, &lines)
		}
	})
}
