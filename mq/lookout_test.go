package mq

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"evalq/internal/redistest"
)

// taken puts a message into somebody's hands, as Asynq does, and gives its lookout.
func taken(t *testing.T) (o *lookout, rdb *redis.Client, id string) {
	t.Helper()
	rdb = redistest.Start(t).Client(t)
	q := NewRedisQueue(rdb)
	if err := q.Publish(t.Context(), &Message{Type: "t"}); err != nil {
		t.Fatal(err)
	}
	var err error
	if id, err = rdb.RPopLPush(t.Context(), "asynq:{mq}:pending", "asynq:{mq}:active").Result(); err != nil {
		t.Fatal(err)
	}
	if err := rdb.ZAdd(t.Context(), "asynq:{mq}:lease", redis.Z{Member: id, Score: 1}).Err(); err != nil {
		t.Fatal(err)
	}
	if err := rdb.HSet(t.Context(), "asynq:{mq}:t:"+id, "state", "active").Err(); err != nil {
		t.Fatal(err)
	}
	return &lookout{rdb: rdb, name: "mq", hands: &q.hands, log: slog.New(slog.DiscardHandler)}, rdb, id
}

// watch lets the lookout look each second, and tells whether it gave a message up.
func (o *lookout) watch(t *testing.T, from time.Time, seconds int) bool {
	t.Helper()
	for n := range seconds {
		if err := o.look(t.Context(), from.Add(time.Duration(n)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	n, err := o.rdb.LLen(t.Context(), "asynq:{mq}:pending").Result()
	if err != nil {
		t.Fatal(err)
	}
	return n == 1
}

func TestAMessageIsGivenUpAfterFifteenSecondsOfLookingAndNotOfSleep(t *testing.T) {
	t.Parallel()
	o, _, _ := taken(t)
	now := time.Now()
	if o.watch(t, now, 10) {
		t.Fatal("given up in ten seconds")
	}
	now = now.Add(time.Hour) // all on this machine stood still
	if o.watch(t, now, 15) {
		t.Fatal("given up because of the time in which nobody looked")
	}
	if !o.watch(t, now.Add(15*time.Second), 2) {
		t.Error("not given up after fifteen seconds of looking")
	}
}

func TestAMessageThatIsHandledHereIsKeptWhenAsynqHasLostSightOfIt(t *testing.T) {
	t.Parallel()
	o, rdb, id := taken(t)
	_, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	if o.hands.take(id, cancel) != isNew {
		t.Fatal("not taken")
	}
	now := time.Now()
	if o.watch(t, now, 120) {
		t.Error("given up while its handler runs")
	}
	end, err := rdb.ZScore(t.Context(), "asynq:{mq}:lease", id).Result()
	if err != nil || int64(end) < now.Add(120*time.Second).Unix() {
		t.Errorf("its lease ends at %v, %v", end, err)
	}
	o.hands.drop(id) // it failed, which Asynq could not note
	if !o.watch(t, now.Add(120*time.Second), 30) {
		t.Error("kept after its handler ended")
	}
}

func TestAMessageThatWasHandledHereIsRemovedWhenAsynqCouldNot(t *testing.T) {
	t.Parallel()
	o, rdb, id := taken(t)
	o.hands.take(id, nil)
	o.hands.finish(id)
	o.hands.drop(id)
	if o.watch(t, time.Now(), 10) {
		t.Error("it is given to another")
	}
	info, err := asynq.NewInspectorFromRedisClient(rdb).GetQueueInfo("mq")
	if err != nil || info.Size != 0 {
		t.Errorf("%+v, %v", info, err)
	}
	if n, err := rdb.Exists(t.Context(), "asynq:{mq}:t:"+id, "asynq:{mq}:lease").Result(); n != 0 || err != nil {
		t.Errorf("%d keys are left, %v", n, err)
	}
}

func TestADeathLongAgoIsALossAndNotAFailure(t *testing.T) {
	t.Parallel()
	o, rdb, id := taken(t)
	q := newRedis(rdb, "", rules{concurrency: 1, attempts: 5, timeout: time.Minute, drain: time.Second, log: o.log})
	inspector := asynq.NewInspectorFromRedisClient(rdb)
	found := make(chan string, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- q.Subscribe(ctx, func(context.Context, *Message) error {
			info, err := inspector.GetTaskInfo("mq", id)
			if err != nil {
				found <- err.Error()
				return nil
			}
			found <- fmt.Sprintf("%d failures, %s losses", info.Retried, rdb.HGet(ctx, "asynq:{mq}:t:"+id, fieldLosses).Val())
			return nil
		})
	}()
	select {
	case got := <-found:
		if got != "0 failures, 1 losses" {
			t.Error(got)
		}
	case <-time.After(time.Minute):
		t.Error("it was not handled")
	}
	cancel()
	<-ended
}
