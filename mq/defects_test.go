package mq_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"evalq/mq"
	"evalq/tasks"
)

// The queue before this one had defects that are known by numbers. Each test drives
// the situation of one and shows what becomes of it here.

// onRedisAlone sets the package up on a real Redis, as the platform does.
func onRedisAlone(t *testing.T) (*redis.Client, *platform) {
	t.Helper()
	alone(t)
	_, rdb := startRedis(t)
	mq.InitMessageQueue(opened(t, quick(rdb)))
	s := newService()
	s.use()
	return rdb, s
}

func consume(t *testing.T) (stop func() error) {
	t.Helper()
	stop, _ = background(t, mq.StartConsumer)
	return stop
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestD01PublishingUnderASessionThatHasEndedIsStored(t *testing.T) {
	t.Parallel()
	_, s := onRedisAlone(t)
	session, end := context.WithCancel(t.Context())
	end()
	must(t, mq.PublishEvaluationReport(session, 7, 42), mq.PublishTopicEvaluation(session, 7, 42))
	consume(t)
	got := s.await(t, 2)
	if got[0].what == got[1].what || got[0].report != 42 || got[1].user != 7 {
		t.Errorf("evaluated: %v", got)
	}
}

func TestD02AMessageWithoutASubscriberWaitsAndReadinessTells(t *testing.T) {
	t.Parallel()
	rdb, s := onRedisAlone(t)
	if n, err := rdb.Publish(t.Context(), "interview:messages:evaluation_report", `{}`).Result(); n != 0 || err != nil {
		t.Fatalf("Pub/Sub, which has nobody to give it to, answers %d, %v", n, err)
	}
	must(t, mq.PublishEvaluationReport(t.Context(), 7, 42))
	if err := mq.Ready(t.Context()); !errors.Is(err, mq.ErrNoConsumer) || !strings.Contains(err.Error(), "1 messages wait") {
		t.Errorf("readiness: %v", err)
	}
	consume(t)
	if c := s.next(t); c != (call{"report", 7, 42}) {
		t.Errorf("evaluated: %v", c)
	}
	eventually(t, "ready", func() bool { return mq.Ready(t.Context()) == nil })
}

func TestD03WhatIsPublishedWhileTheConsumerStartsIsHandled(t *testing.T) {
	t.Parallel()
	_, s := onRedisAlone(t)
	consume(t)
	for n := range uint64(50) {
		must(t, mq.PublishEvaluationReport(t.Context(), 7, n+1))
	}
	s.await(t, 50)
	s.none(t)
}

func TestD04TwoThousandMessagesOverTenBrokenConnectionsAreHandled(t *testing.T) {
	t.Parallel()
	rdb, s := onRedisAlone(t)
	consume(t)
	for n := range uint64(2000) {
		must(t, mq.PublishEvaluationReport(t.Context(), 7, n+1))
		if n%200 == 100 {
			must(t, rdb.Do(t.Context(), "CLIENT", "KILL", "SKIPME", "yes").Err())
		}
	}
	seen := map[uint64]bool{}
	for len(seen) < 2000 {
		seen[s.next(t).report] = true
	}
}

func TestD05ARateLimitIsWaitedOutAndWhatNeverWorksIsSetAside(t *testing.T) {
	t.Parallel()
	rdb, s := onRedisAlone(t)
	var mu sync.Mutex
	tries := map[uint64]int{}
	s.fail = func(c call) error {
		mu.Lock()
		defer mu.Unlock()
		tries[c.report]++
		switch {
		case c.report == 1 && tries[1] == 1:
			return tasks.NewError(tasks.ClassRateLimited, errors.New("429"))
		case c.report == 2:
			return errors.New("never")
		}
		return nil
	}
	consume(t)
	must(t, mq.PublishEvaluationReport(t.Context(), 7, 1), mq.PublishEvaluationReport(t.Context(), 7, 2))
	s.await(t, 2+5)
	eventually(t, "the second is among the archived tasks", func() bool {
		info, err := asynq.NewInspectorFromRedisClient(rdb).GetQueueInfo("mq")
		return err == nil && info.Archived == 1 && info.Size == 1
	})
	mu.Lock()
	defer mu.Unlock()
	if tries[1] != 2 || tries[2] != 5 {
		t.Errorf("tries: %v", tries)
	}
}

func TestD06AStopLetsAnEvaluationFinish(t *testing.T) {
	t.Parallel()
	_, s := onRedisAlone(t)
	consumer, sigterm := context.WithCancel(t.Context())
	began := make(chan struct{})
	mq.SetEvaluationService(func(ctx context.Context, _ uint, _ uint64) error {
		close(began)
		<-consumer.Done()
		return ctx.Err()
	}, s.evaluate("topic"))
	ended := make(chan error, 1)
	go func() { ended <- mq.StartConsumer(consumer) }()
	must(t, mq.PublishEvaluationReport(t.Context(), 7, 1))
	receive(t, "the evaluation", began)
	sigterm()
	if err := receive(t, "the end of the consumer", ended); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	s.use()
	consume(t)
	s.none(t)
}

func TestD07WhatIsPublishedAfterTheQueueWasClosedIsHandledByTheNextStart(t *testing.T) {
	t.Parallel()
	rdb, s := onRedisAlone(t)
	stop := consume(t)
	_ = stop()
	must(t, mq.GetMessageQueue().Close())
	must(t, mq.PublishEvaluationReport(t.Context(), 7, 42))
	mq.InitMessageQueue(opened(t, quick(rdb)))
	consume(t)
	if c := s.next(t); c.report != 42 {
		t.Errorf("evaluated: %v", c)
	}
}

func TestD08AProgramThatForgotTheQueueIsTold(t *testing.T) {
	t.Parallel()
	alone(t)
	newService().use()
	for what, err := range map[string]error{
		"publish":   mq.PublishEvaluationReport(t.Context(), 7, 42),
		"topic":     mq.PublishTopicEvaluation(t.Context(), 7, 42),
		"consumer":  mq.StartConsumer(t.Context()),
		"subscribe": mq.GetMessageQueue().Subscribe(t.Context(), mq.NewConsumerHandler().HandleMessage),
		"ready":     mq.Ready(t.Context()),
	} {
		if !errors.Is(err, mq.ErrNoQueue) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestD09ClosingAQueueInMemoryDeliversWhatIsInIt(t *testing.T) {
	t.Parallel()
	q := mq.NewInMemoryQueue(100)
	publish := func() {
		for n := range 100 {
			must(t, q.Publish(t.Context(), &mq.Message{Type: "t", Payload: map[string]any{"n": n}}))
		}
	}
	publish()
	handled := make(chan *mq.Message, 200)
	_, ended := background(t, func(ctx context.Context) error {
		return q.Subscribe(ctx, func(_ context.Context, m *mq.Message) error { handled <- m; return nil })
	})
	receive(t, "a first message", handled)
	must(t, q.Close())
	if err := receive(t, "the end of the subscription", ended); err != nil {
		t.Error(err)
	}
	if n := 1 + len(handled); n != 100 {
		t.Errorf("%d of 100 were delivered", n)
	}
	q = mq.NewInMemoryQueue(100)
	publish()
	must(t, q.Close())
	if left := q.Left(); len(left) != 100 || left[99].Payload["n"] != 99.0 {
		t.Errorf("%d of 100 were handed back", len(left))
	}
}

func TestD10AMessageOfAnotherTypeGoesToTheHandlerOrIsSetAside(t *testing.T) {
	t.Parallel()
	rdb, _ := onRedisAlone(t)
	parse := &mq.Message{Type: "resume_parse", Payload: map[string]any{"user_id": 7, "file_path": "cv.pdf"}}
	must(t, mq.GetMessageQueue().Publish(t.Context(), parse))
	stop := consume(t)
	inspector := asynq.NewInspectorFromRedisClient(rdb)
	eventually(t, "it is set aside", func() bool {
		info, err := inspector.GetQueueInfo("mq")
		return err == nil && info.Archived == 1
	})
	dead, err := inspector.ListArchivedTasks("mq")
	must(t, err)
	if dead[0].Type != "resume_parse" || !strings.Contains(dead[0].LastErr, "subscribe with a handler of your own") {
		t.Errorf("set aside: %+v", dead[0])
	}
	_ = stop()
	got := make(chan *mq.Message, 1)
	background(t, func(ctx context.Context) error {
		return mq.GetMessageQueue().Subscribe(ctx, func(_ context.Context, m *mq.Message) error { got <- m; return nil })
	})
	must(t, inspector.RunTask("mq", dead[0].ID))
	if m := receive(t, "the message", got); m.Payload["file_path"] != "cv.pdf" {
		t.Errorf("handled: %+v", m)
	}
}

func TestD12AResultThatCouldNotBeSavedIsTriedAgain(t *testing.T) {
	t.Parallel()
	_, s := onRedisAlone(t)
	var saves int
	s.fail = func(call) error {
		if saves++; saves == 1 {
			return errors.New("insert: connection refused")
		}
		return nil
	}
	consume(t)
	must(t, mq.PublishEvaluationReport(t.Context(), 7, 42))
	s.await(t, 2)
	s.none(t)
}

func TestD13ATaskThatCannotBeReadIsSetAsideWithItsReason(t *testing.T) {
	t.Parallel()
	rdb, s := onRedisAlone(t)
	for _, body := range []string{"not json", `[1]`, `{"user_id":7}`, `{"user_id":-1,"report_id":42}`} {
		_, err := asynq.NewClientFromRedisClient(rdb).Enqueue(asynq.NewTask("evaluation_report", []byte(body)), asynq.Queue("mq"))
		must(t, err)
	}
	consume(t)
	inspector := asynq.NewInspectorFromRedisClient(rdb)
	eventually(t, "all are set aside", func() bool {
		info, err := inspector.GetQueueInfo("mq")
		return err == nil && info.Archived == 4
	})
	dead, err := inspector.ListArchivedTasks("mq")
	must(t, err)
	for _, d := range dead {
		if d.LastErr == "" || strings.Contains(d.LastErr, "not json") {
			t.Errorf("%s: %q", d.Payload, d.LastErr)
		}
	}
	s.none(t)
}

func TestD14TwoDatabasesOfOneRedisDoNotMix(t *testing.T) {
	t.Parallel()
	_, rdb := startRedis(t)
	got := make(chan string, 10)
	for db := range 2 {
		c := redis.NewClient(&redis.Options{Network: rdb.Options().Network, Addr: rdb.Options().Addr, DB: 5 * db})
		t.Cleanup(func() { _ = c.Close() })
		q := opened(t, quick(c))
		background(t, func(ctx context.Context) error {
			return q.Subscribe(ctx, func(_ context.Context, m *mq.Message) error {
				got <- fmt.Sprintf("%v in %d", m.Payload["for"], 5*db)
				return nil
			})
		})
		must(t, q.Publish(t.Context(), &mq.Message{Type: "t", Payload: map[string]any{"for": fmt.Sprint(5 * db)}}))
	}
	seen := map[string]bool{receive(t, "a message", got): true, receive(t, "a message", got): true}
	if !seen["0 in 0"] || !seen["5 in 5"] {
		t.Errorf("handled: %v", seen)
	}
}

func TestD15ThreeProcessesEvaluateAMessageOnce(t *testing.T) {
	t.Parallel()
	rdb, s := onRedisAlone(t)
	for range 3 {
		q := opened(t, quick(rdb))
		background(t, func(ctx context.Context) error { return q.Subscribe(ctx, mq.NewConsumerHandler().HandleMessage) })
	}
	must(t, mq.PublishEvaluationReport(t.Context(), 7, 42))
	s.next(t)
	s.none(t)
}

func TestD16ThreeSubscriptionsOfOneQueueHandleAMessageOnce(t *testing.T) {
	t.Parallel()
	_, s := onRedisAlone(t)
	for range 3 {
		consume(t)
	}
	must(t, mq.PublishEvaluationReport(t.Context(), 7, 42))
	s.next(t)
	s.none(t)
}

func TestD17TheSameMessageTwiceIsOneJobOfTheLedger(t *testing.T) {
	t.Parallel()
	_, s := onRedisAlone(t)
	c := evalq(t)
	mq.UseClient(c)
	for range 3 {
		must(t, mq.PublishEvaluationReport(t.Context(), 7, 42))
	}
	page, err := c.List(t.Context(), tasks.Filter{})
	must(t, err)
	if len(page.Jobs) != 1 || page.Jobs[0].Kind != tasks.KindEvaluationReport || page.Jobs[0].UserID != 7 || page.Jobs[0].ReportID != 42 {
		t.Errorf("jobs: %+v", page.Jobs)
	}
	if len(s.calls) != 0 {
		t.Error("the platform's own function was called too")
	}
}

func TestD28AClientThatIsClosedUnderAConsumerNeitherSpinsNorEndsTheProcess(t *testing.T) {
	t.Parallel()
	alone(t)
	_, mine := startRedis(t)
	rdb := redis.NewClient(&redis.Options{Network: mine.Options().Network, Addr: mine.Options().Addr})
	var lines logbook
	cfg := quick(rdb)
	cfg.Logger = lines.logger()
	q := opened(t, cfg)
	handled := make(chan *mq.Message, 10)
	stop, _ := background(t, func(ctx context.Context) error {
		return q.Subscribe(ctx, func(_ context.Context, m *mq.Message) error { handled <- m; return nil })
	})
	must(t, q.Publish(t.Context(), &mq.Message{Type: "t"}))
	receive(t, "a message", handled)
	must(t, rdb.Close())
	if err := q.Publish(t.Context(), &mq.Message{Type: "t"}); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("publish on a closed client: %v", err)
	}
	// Its connections are its own: it goes on with what others publish.
	must(t, opened(t, quick(mine)).Publish(t.Context(), &mq.Message{Type: "t"}))
	receive(t, "a message of another publisher", handled)
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := q.Subscribe(t.Context(), func(context.Context, *mq.Message) error { return nil }); !errors.Is(err, redis.ErrClosed) {
		t.Errorf("subscribe on a closed client: %v", err)
	}
	if n := lines.lines(""); n > 50 {
		t.Errorf("%d lines of log", n)
	}
}

func TestD29AFullBufferTellsWhoPublishes(t *testing.T) {
	t.Parallel()
	q := mq.NewInMemoryQueue(0)
	t.Cleanup(func() { must(t, q.Close()) })
	m := &mq.Message{Type: "t"}
	for range 100 {
		must(t, q.Publish(t.Context(), m))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := q.Publish(ctx, m); !errors.Is(err, mq.ErrFull) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the 101st: %v", err)
	}
	background(t, func(ctx context.Context) error {
		return q.Subscribe(ctx, func(context.Context, *mq.Message) error { return nil })
	})
	must(t, q.Publish(t.Context(), m))
}

func TestD30ANilClientIsAnErrorAndNotTheEndOfTheProcess(t *testing.T) {
	t.Parallel()
	q := mq.NewRedisQueue(nil)
	if q.GetRedisClient() != nil {
		t.Error("it has a client")
	}
	for what, err := range map[string]error{
		"publish":   q.Publish(t.Context(), &mq.Message{Type: "t"}),
		"subscribe": q.Subscribe(t.Context(), func(context.Context, *mq.Message) error { return nil }),
		"ready":     q.Ready(t.Context()),
	} {
		if err == nil || !strings.Contains(err.Error(), "the Redis client is nil") {
			t.Errorf("%s: %v", what, err)
		}
	}
	must(t, q.Close())
}

func TestD31TheConsumerBlocksOnEveryQueue(t *testing.T) {
	t.Parallel()
	_, s := onRedisAlone(t)
	for _, q := range []mq.MessageQueue{mq.GetMessageQueue(), mq.NewInMemoryQueue(0)} {
		mq.InitMessageQueue(q)
		stop, ended := background(t, mq.StartConsumer)
		s.none(t)
		select {
		case err := <-ended:
			t.Errorf("%T: it returned %v while it was wanted", q, err)
		default:
		}
		if err := stop(); !errors.Is(err, context.Canceled) {
			t.Errorf("%T: %v", q, err)
		}
		must(t, q.Close())
	}
}

func TestD32AConsumerWithoutRedisTellsAndGoesOnWhenItIsBack(t *testing.T) {
	t.Parallel()
	alone(t)
	server, rdb := startRedis(t)
	var lines logbook
	cfg := quick(rdb)
	cfg.Logger = lines.logger()
	mq.InitMessageQueue(opened(t, cfg))
	s := newService()
	s.use()
	consume(t)
	s.none(t)
	server.Stop()
	eventually(t, "the log tells", func() bool { return lines.lines("cannot reach Redis") == 1 })
	if err := mq.Ready(t.Context()); err == nil {
		t.Error("ready without Redis")
	}
	server.Restart()
	s.none(t)
	eventually(t, "the log tells of the end", func() bool { return lines.lines("has reached Redis again") == 1 })
	if n := lines.lines("cannot reach Redis"); n != 1 {
		t.Errorf("%d lines that say it cannot be reached", n)
	}
}
