package mq_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"evalq/mq"
	"evalq/tasks"
)

func TestD34AnIDAboveTwoToTheFiftyThreeArrivesAsItIs(t *testing.T) {
	t.Parallel()
	_, s := onRedisAlone(t)
	consume(t)
	for _, report := range []uint64{9007199254740992, 9007199254740993, 4611686018427387904, 1<<63 - 1} {
		must(t, mq.PublishEvaluationReport(t.Context(), 7, report))
		if c := s.next(t); c.report != report {
			t.Errorf("%d arrived as %d", report, c.report)
		}
	}
	var bad *tasks.InvalidError
	if err := mq.PublishEvaluationReport(t.Context(), 7, 1<<63); !errors.As(err, &bad) {
		t.Errorf("2^63: %v", err)
	}
}

func TestD36IDsMayBeTextAndOfAnyWholeType(t *testing.T) {
	t.Parallel()
	_, s := onRedisAlone(t)
	consume(t)
	for _, id := range []any{"42", 42, int64(42), uint8(42), 42.0, float32(42)} {
		must(t, mq.GetMessageQueue().Publish(t.Context(), &mq.Message{
			Type: mq.MessageTypeTopicEvaluation, Payload: map[string]any{"user_id": id, "report_id": id, "trace": "extra"},
		}))
		if c := s.next(t); c != (call{"topic", 42, 42}) {
			t.Errorf("%T: %v", id, c)
		}
	}
}

func TestD37WhatCannotBeWrittenIsAnErrorOfPublish(t *testing.T) {
	t.Parallel()
	_, rdb := startRedis(t)
	err := opened(t, quick(rdb)).Publish(t.Context(), &mq.Message{Type: "t", Payload: map[string]any{"f": func() {}}})
	var bad *tasks.InvalidError
	if !errors.As(err, &bad) {
		t.Errorf("a function: %v", err)
	}
}

func TestD38AMessageHasAnIDATimeAndACountOfFailures(t *testing.T) {
	t.Parallel()
	rdb, s := onRedisAlone(t)
	before := time.Now().Truncate(time.Millisecond)
	must(t, mq.PublishEvaluationReport(t.Context(), 7, 42))
	var found *asynq.TaskInfo
	inspector := asynq.NewInspectorFromRedisClient(rdb)
	list, err := inspector.ListPendingTasks("mq")
	must(t, err)
	found = list[0]
	var ms int64
	_, err = fmt.Sscan(found.Headers["evalq-mq-published"], &ms)
	must(t, err)
	if at := time.UnixMilli(ms); found.ID == "" || at.Before(before) || at.After(time.Now()) {
		t.Errorf("id %q, published %v", found.ID, at)
	}
	if found.Type != "evaluation_report" || string(found.Payload) != `{"report_id":42,"user_id":7}` {
		t.Errorf("%s with %s", found.Type, found.Payload)
	}
	s.fail = func(call) error { return errors.New("never") }
	consume(t)
	s.await(t, 5)
	eventually(t, "its failures are counted", func() bool {
		info, err := inspector.GetTaskInfo("mq", found.ID)
		return err == nil && info.Retried == 4 && info.State == asynq.TaskStateArchived
	})
}

func TestARedisThatRestartsWhileMessagesArePublishedIsWaitedFor(t *testing.T) {
	t.Parallel()
	server, rdb := startRedis(t)
	q := opened(t, quick(rdb))
	server.Stop()
	published := make(chan error, 1)
	go func() { published <- q.Publish(context.Background(), &mq.Message{Type: "t"}) }()
	server.Restart()
	if err := receive(t, "the end of Publish", published); err != nil {
		t.Error(err)
	}
}

func TestPublishGivesUpOnARedisThatStaysAway(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	addr := l.Addr().String()
	must(t, l.Close())
	rdb := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { _ = rdb.Close() })
	q := mq.NewRedisQueue(rdb)
	t.Cleanup(func() { _ = q.Close() })
	began := time.Now()
	if err := q.Publish(context.Background(), &mq.Message{Type: "t"}); err == nil {
		t.Error("it was published")
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("it took %v", took)
	}
}
