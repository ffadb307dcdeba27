package doctor_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"evalq/internal/doctor"
	"evalq/internal/redisconn"
)

func TestMessagesThatWereSetAsideInLargeNumbersOrDroppedAreFound(t *testing.T) {
	t.Parallel()
	s, rdb, _ := onBoth(t)
	examine(t, s, nil).want("queues.messages", doctor.OK, "no message is set aside")
	all := make([]redis.Z, 4000)
	for i := range all {
		all[i] = redis.Z{Score: float64(i), Member: "m" + strconv.Itoa(i)}
	}
	if err := rdb.ZAdd(t.Context(), "asynq:{mq}:archived", all...).Err(); err != nil {
		t.Fatal(err)
	}
	examine(t, s, nil).want("queues.messages", doctor.Warning, "4000 messages set aside", "quarantine")
	do(t, rdb, "DEL asynq:{mq}:archived")
	if err := rdb.HSet(t.Context(), redisconn.OverflowCount("mq"), redisconn.OverflowDropped, 7, redisconn.OverflowDroppedAt, time.Now().Unix()).Err(); err != nil {
		t.Fatal(err)
	}
	examine(t, s, nil).want("queues.messages", doctor.Failure, "7 were dropped")
}

func TestThePlainQueueOfPackageMqIsKnownWithItsDeadEvaluationsAndItsConsumers(t *testing.T) {
	t.Parallel()
	s, rdb, _ := onBoth(t)
	for i, typ := range []string{"evaluation_report", "topic_evaluation", "mail"} {
		id := "m" + strconv.Itoa(i)
		_, err := asynq.NewClientFromRedisClient(rdb).Enqueue(asynq.NewTask(typ, []byte(`{}`)), asynq.Queue("mq"), asynq.TaskID(id))
		if err != nil {
			t.Fatal(err)
		}
		if err := asynq.NewInspectorFromRedisClient(rdb).ArchiveTask("mq", id); err != nil {
			t.Fatal(err)
		}
	}
	e := examine(t, s, nil)
	e.want("queues.messages", doctor.Note, "3 messages set aside in the queue mq, 2 evaluations among them")
	e.want("queues.others", doctor.OK)
	srv := asynq.NewServerFromRedisClient(rdb, asynq.Config{Queues: map[string]int{"mq": 1}, LogLevel: asynq.FatalLevel})
	if err := srv.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { return nil })); err != nil {
		t.Fatal(err)
	}
	defer srv.Shutdown()
	deadline := time.After(60 * time.Second)
	for {
		found := examine(t, s, nil)
		if strings.Contains(found.String(), "messages of package mq go to 1 consumer") {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("the consumer is not seen:\n%s", found)
		default:
		}
	}
}
