package mq_test

import (
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"evalq/internal/redistest"
	"evalq/mq"
	"evalq/tasks"
)

// The original's names and signatures, as the compiler holds them.
var (
	_ mq.MessageType                                                = mq.MessageTypeEvaluationReport
	_ mq.MessageType                                                = mq.MessageTypeTopicEvaluation
	_ mq.MessageQueue                                               = (*mq.InMemoryQueue)(nil)
	_ mq.MessageQueue                                               = (*mq.RedisQueue)(nil)
	_ func(int) *mq.InMemoryQueue                                   = mq.NewInMemoryQueue
	_ func(*redis.Client) *mq.RedisQueue                            = mq.NewRedisQueue
	_ func(*mq.RedisQueue) *redis.Client                            = (*mq.RedisQueue).GetRedisClient
	_ func(mq.MessageQueue)                                         = mq.InitMessageQueue
	_ func() mq.MessageQueue                                        = mq.GetMessageQueue
	_ func(context.Context, uint, uint64) error                     = mq.PublishEvaluationReport
	_ func(context.Context, uint, uint64) error                     = mq.PublishTopicEvaluation
	_ func() *mq.ConsumerHandler                                    = mq.NewConsumerHandler
	_ func(*mq.ConsumerHandler, context.Context, *mq.Message) error = (*mq.ConsumerHandler).HandleMessage
	_ func(context.Context) error                                   = mq.StartConsumer
	_                                                               = mq.ConsumerHandler{}
	_                                                               = mq.EvaluationReportPayload{UserID: uint(1), ReportID: uint64(1)}
	_                                                               = mq.TopicEvaluationPayload{UserID: uint(1), ReportID: uint64(1)}
	_ func(context.Context, *mq.Message) error                      = mq.MessageHandler(nil)
)

func TestAMessageIsOnTheWireAsItAlwaysWas(t *testing.T) {
	t.Parallel()
	for kind, want := range map[mq.MessageType]string{
		mq.MessageTypeEvaluationReport: `{"type":"evaluation_report","payload":{"report_id":42,"user_id":7}}`,
		mq.MessageTypeTopicEvaluation:  `{"type":"topic_evaluation","payload":{"report_id":42,"user_id":7}}`,
	} {
		m := mq.Message{Type: kind, Payload: map[string]any{"user_id": uint(7), "report_id": uint64(42)}}
		got, err := json.Marshal(m)
		if err != nil || string(got) != want {
			t.Errorf("%s, %v; want %s", got, err, want)
		}
	}
	for _, p := range []any{mq.EvaluationReportPayload{UserID: 7, ReportID: 42}, mq.TopicEvaluationPayload{UserID: 7, ReportID: 42}} {
		if got, err := json.Marshal(p); err != nil || string(got) != `{"user_id":7,"report_id":42}` {
			t.Errorf("%s, %v", got, err)
		}
	}
}

func TestAHandlerFindsAnIDInOneFormHoweverItWasPublished(t *testing.T) {
	t.Parallel()
	q := mq.NewInMemoryQueue(0)
	for id, want := range map[any]any{
		"42": 42.0, 42: 42.0, uint64(42): 42.0, 42.0: 42.0, json.Number("42"): 42.0,
		"9007199254740993": "9007199254740993", uint64(9007199254740992): "9007199254740992",
	} {
		given := map[string]any{"user_id": "7", "report_id": id, "trace": "extra"}
		must(t, q.Publish(t.Context(), &mq.Message{Type: mq.MessageTypeTopicEvaluation, Payload: given}))
		left := q.Left()
		if p := left[len(left)-1].Payload; p["user_id"] != 7.0 || p["report_id"] != want || p["trace"] != "extra" {
			t.Errorf("%T %v arrives as %v", id, id, p)
		}
		if given["user_id"] != "7" || given["report_id"] != id {
			t.Errorf("what was published was changed to %v", given)
		}
	}
	must(t, q.Close())
}

func TestAProgramThatWasWrittenForTheOriginalRuns(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "platform")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./testdata/platform").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	_, rdb := startRedis(t, redistest.WithTCP())
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = append(cmd.Environ(), "REDIS_ADDR="+rdb.Options().Addr)
	var noise strings.Builder
	cmd.Stderr = &noise
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("run: %v\n%s", err, noise.String())
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(lines)
	want := []string{
		"answers of user 7, interview 1", "answers of user 7, interview 2", "answers of user 7, interview 3",
		"report of user 7, interview 1", "report of user 7, interview 2", "report of user 7, interview 3",
		"the consumer ended with: mq: subscribe: context canceled",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("it printed %q\n%s", lines, noise.String())
	}
}

func TestTheConsumerWantsSomebodyWhoEvaluates(t *testing.T) {
	t.Parallel()
	alone(t)
	q := mq.NewInMemoryQueue(0)
	t.Cleanup(func() { _ = q.Close() })
	mq.InitMessageQueue(q)
	s := newService()
	for _, set := range []func(){
		func() { mq.SetEvaluationService(nil, nil) },
		func() { mq.SetEvaluationService(s.evaluate("report"), nil) },
		func() { mq.SetEvaluationService(mq.ErrorOnly[int](nil), s.evaluate("topic")) },
	} {
		set()
		if err := mq.StartConsumer(t.Context()); !errors.Is(err, mq.ErrNoService) {
			t.Errorf("a consumer without a service: %v", err)
		}
	}
}

func TestHandleMessageRefusesForGoodWhatNobodyCanEvaluate(t *testing.T) {
	t.Parallel()
	alone(t)
	s := newService()
	s.use()
	h := mq.NewConsumerHandler()
	for name, m := range map[string]*mq.Message{
		"nil":          nil,
		"other type":   {Type: "no_such_type"},
		"no payload":   {Type: mq.MessageTypeTopicEvaluation},
		"damaged":      {Type: mq.MessageTypeTopicEvaluation, Payload: map[string]any{"user_id": 7.0, "report_id": 9007199254740992.0}},
		"a fraction":   {Type: mq.MessageTypeTopicEvaluation, Payload: map[string]any{"user_id": 1.9, "report_id": 42.7}},
		"other casing": {Type: mq.MessageTypeTopicEvaluation, Payload: map[string]any{"User_ID": 7.0, "Report_ID": 42.0}},
	} {
		err := h.HandleMessage(t.Context(), m)
		if err == nil || !tasks.IsPermanent(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(s.calls) != 0 {
		t.Error("something was evaluated")
	}
	if err := h.HandleMessage(t.Context(), &mq.Message{Type: mq.MessageTypeTopicEvaluation, Payload: map[string]any{"user_id": 7.0, "report_id": json.Number("42")}}); err != nil {
		t.Error(err)
	}
	if c := s.next(t); c != (call{"topic", 7, 42}) {
		t.Errorf("evaluated: %v", c)
	}
}
