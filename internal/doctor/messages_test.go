package doctor_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"evalq/internal/doctor"
	"evalq/internal/redisconn"
)

func TestMessagesThatWereSetAsideInLargeNumbersOrDroppedAreFound(t *testing.T) {
	t.Parallel()
	s, rdb, _ := onBoth(t)
	examine(t, s, nil).want("queues.messages", doctor.OK, "0 messages")
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
