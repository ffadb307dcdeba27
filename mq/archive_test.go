package mq_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"evalq/mq"
	"evalq/server"
	"evalq/tasks"
	"evalq/worker"
)

// setAside publishes evaluations that fail for good, and waits until they are set aside.
func setAside(t *testing.T, rdb *redis.Client, n int) {
	t.Helper()
	mq.InitMessageQueue(opened(t, quick(rdb)))
	dead := func(context.Context, uint, uint64) error {
		return tasks.NewError(tasks.ClassNotAssessable, errors.New("no"))
	}
	mq.SetEvaluationService(dead, dead)
	background(t, mq.StartConsumer)
	for i := range n {
		must(t, mq.PublishEvaluationReport(t.Context(), 7, uint64(i+1)))
	}
	eventually(t, "the evaluations are set aside", func() bool {
		return rdb.ZCard(t.Context(), "asynq:{mq}:archived").Val() == int64(n)
	})
}

// flood fills the archive up to Asynq's bound with messages of an unknown type that
// are newer, all but room, and then lets the consumer set aside more than that.
func flood(t *testing.T, rdb *redis.Client, room int) {
	t.Helper()
	for _, id := range rdb.ZRange(t.Context(), "asynq:{mq}:archived", 0, -1).Val() {
		must(t, rdb.ZAdd(t.Context(), "asynq:{mq}:archived", redis.Z{Score: float64(time.Now().Add(-time.Hour).Unix()), Member: id}).Err())
	}
	must(t, mq.GetMessageQueue().Publish(t.Context(), &mq.Message{Type: "no_such_type", Payload: map[string]any{"n": 0}}))
	var like string
	eventually(t, "one of another type is set aside", func() bool {
		for _, id := range rdb.ZRevRange(t.Context(), "asynq:{mq}:archived", 0, 10).Val() {
			if msg := rdb.HGet(t.Context(), "asynq:{mq}:t:"+id, "msg").Val(); strings.Contains(msg, "no_such_type") {
				like = msg
				return true
			}
		}
		return false
	})
	n := 10_000 - room - int(rdb.ZCard(t.Context(), "asynq:{mq}:archived").Val())
	now := float64(time.Now().Unix())
	for i := 0; i < n; {
		_, err := rdb.Pipelined(t.Context(), func(p redis.Pipeliner) error {
			for range 1000 {
				if i == n {
					break
				}
				id := fmt.Sprintf("flood%d", i)
				p.HSet(t.Context(), "asynq:{mq}:t:"+id, "msg", like, "state", "archived")
				p.ZAdd(t.Context(), "asynq:{mq}:archived", redis.Z{Score: now, Member: id})
				i++
			}
			return nil
		})
		must(t, err)
	}
	for i := range room + 10 {
		must(t, mq.GetMessageQueue().Publish(t.Context(), &mq.Message{Type: "no_such_type", Payload: map[string]any{"n": i + 1}}))
	}
	eventually(t, "the flood is set aside", func() bool {
		return rdb.LLen(t.Context(), "asynq:{mq}:pending").Val() == 0 && rdb.LLen(t.Context(), "asynq:{mq}:active").Val() == 0
	})
}

// evaluationsIn counts the evaluations in the archive.
func evaluationsIn(t *testing.T, rdb *redis.Client) (n int) {
	t.Helper()
	insp := asynq.NewInspectorFromRedisClient(rdb)
	for page := 1; ; page++ {
		found, err := insp.ListArchivedTasks("mq", asynq.PageSize(1000), asynq.Page(page))
		must(t, err)
		for _, f := range found {
			if f.Type == string(mq.MessageTypeEvaluationReport) {
				n++
			}
		}
		if len(found) < 1000 {
			return n
		}
	}
}

func TestAFloodOfAnotherTypeTakesNoDeadEvaluationOutOfTheArchive(t *testing.T) {
	t.Parallel()
	alone(t)
	_, rdb := startRedis(t)
	setAside(t, rdb, 3)
	flood(t, rdb, 5)
	if n := evaluationsIn(t, rdb); n != 3 {
		t.Errorf("%d of 3 dead evaluations are left", n)
	}
	// No relay runs here, so everything that left the archive is still in the lists.
	left := rdb.LLen(t.Context(), "evalq:{mq}:overflow:others").Val()
	if kept := rdb.ZCard(t.Context(), "asynq:{mq}:archived").Val(); left+kept < 10_010 || left == 0 {
		t.Errorf("%d are archived and %d left it", kept, left)
	}
}

func TestExpiredEvaluationsLeaveTheArchiveBeforeAsynqDropsThem(t *testing.T) {
	t.Parallel()
	alone(t)
	_, rdb := startRedis(t)
	setAside(t, rdb, 3)
	for _, id := range rdb.ZRange(t.Context(), "asynq:{mq}:archived", 0, -1).Val() {
		must(t, rdb.ZAdd(t.Context(), "asynq:{mq}:archived", redis.Z{Score: float64(time.Now().AddDate(0, 0, -91).Unix()), Member: id}).Err())
	}
	must(t, mq.GetMessageQueue().Publish(t.Context(), &mq.Message{Type: "no_such_type", Payload: map[string]any{}}))
	eventually(t, "the next is set aside", func() bool {
		return rdb.LLen(t.Context(), "evalq:{mq}:overflow:evaluations").Val() == 3 && rdb.ZCard(t.Context(), "asynq:{mq}:archived").Val() == 1
	})
}

func TestWhatLeavesTheArchiveOfMessagesIsInTheQuarantineAndAnEvaluationCanBeTriedAgain(t *testing.T) {
	t.Parallel()
	alone(t)
	redisServer, rdb := startRedis(t)
	setAside(t, rdb, 1)
	must(t, mq.GetMessageQueue().Publish(t.Context(), &mq.Message{Type: "no_such_type", Payload: map[string]any{"n": 1}}))
	eventually(t, "the other is set aside too", func() bool { return rdb.ZCard(t.Context(), "asynq:{mq}:archived").Val() == 2 })
	for _, id := range rdb.ZRange(t.Context(), "asynq:{mq}:archived", 0, -1).Val() {
		must(t, rdb.ZAdd(t.Context(), "asynq:{mq}:archived", redis.Z{Score: 1, Member: id}).Err())
	}
	must(t, mq.GetMessageQueue().Publish(t.Context(), &mq.Message{Type: "no_such_type", Payload: map[string]any{"n": 2}}))

	s, err := server.Open(t.Context(), &server.Config{
		Listen: "127.0.0.1:0", DataDir: t.TempDir(), RedisURL: redisServer.URL,
		Logger: slog.New(slog.DiscardHandler),
		Handlers: map[tasks.Kind]worker.Handler{tasks.KindEvaluationReport: func(context.Context, tasks.Job) (json.RawMessage, error) {
			return json.RawMessage(`{}`), nil
		}},
	})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	background(t, s.Run)
	var list struct {
		Entries []tasks.Quarantined `json:"entries"`
	}
	eventually(t, "both are in the quarantine", func() bool {
		answer, err := http.Get(s.URL() + "/v1/admin/quarantine")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		must(t, json.NewDecoder(answer.Body).Decode(&list))
		return len(list.Entries) == 2
	})
	sources := map[string]int64{}
	for _, q := range list.Entries {
		sources[q.Source] = q.ID
		if q.Queue != "mq" || q.TaskID == "" {
			t.Errorf("%+v", q)
		}
	}
	if sources["mq"] == 0 || sources[tasks.SourceEvaluations] == 0 {
		t.Fatalf("%v", sources)
	}
	answer, err := http.Post(fmt.Sprintf("%s/v1/admin/quarantine/%d/replay", s.URL(), sources[tasks.SourceEvaluations]), "application/json", strings.NewReader("{}"))
	must(t, err)
	defer answer.Body.Close()
	var job tasks.Job
	must(t, json.NewDecoder(answer.Body).Decode(&job))
	if job.UserID != 7 || job.ReportID != 1 || job.Kind != tasks.KindEvaluationReport {
		t.Errorf("%s: %+v", answer.Status, job)
	}
	if n := rdb.Exists(t.Context(), "evalq:{mq}:overflow:evaluations", "evalq:{mq}:overflow:others").Val(); n != 0 {
		t.Errorf("%d lists are left", n)
	}
}
