package doctor_test

import (
	"context"
	"errors"
	"strconv"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"evalq/internal/doctor"
	"evalq/internal/ledger"
	"evalq/internal/ledger/sqlite"
	"evalq/internal/redistest"
	"evalq/internal/relay"
	"evalq/tasks"
)

// onBoth is a subject with a Redis and a ledger of its own.
func onBoth(t *testing.T) (doctor.Subject, *redis.Client, *sqlite.DB) {
	t.Helper()
	rdb := redistest.Start(t, redistest.WithAOF()).Client(t)
	s, db := onLedger(t, nil)
	s.Redis, s.RedisErr, s.RedisPlace = rdb, nil, "redis://test"
	return s, rdb, db
}

func enqueue(t *testing.T, rdb redis.UniversalClient, queue, owner string, options ...asynq.Option) {
	t.Helper()
	task := asynq.NewTask("k", []byte(`{"user_id":7,"report_id":1}`))
	if owner != "" {
		task = asynq.NewTaskWithHeaders("k", task.Payload(), map[string]string{relay.HeaderLedger: owner})
	}
	if _, err := asynq.NewClientFromRedisClient(rdb).EnqueueContext(t.Context(), task, append(options, asynq.Queue(queue))...); err != nil {
		t.Fatal(err)
	}
}

func TestQueuesOfAnotherLedgerAreAFailureUntilTheyAreGivenUp(t *testing.T) {
	t.Parallel()
	s, rdb, db := onBoth(t)
	examine(t, s, nil).want("queues.epoch", doctor.Note, "no relay has filled this Redis")

	fill := func(l *ledger.Ledger) {
		t.Helper()
		r, err := relay.New(l, rdb, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		eventually(t, "the relay has filled Redis", func() bool {
			return rdb.Exists(t.Context(), tasks.Namespace("").Key("epoch")).Val() == 1
		})
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	_, other := onLedger(t, nil)
	fill(other.Ledger)
	if err := relay.Claim(t.Context(), rdb, "", s.Ledger.ID()); !errors.Is(err, relay.ErrOtherLedger) {
		t.Fatalf("a server would start: %v", err)
	}
	e := examine(t, s, nil)
	e.want("queues.epoch", doctor.Failure, other.ID(), s.Ledger.ID(), "--namespace", "DEL evalq:epoch")

	aside := s
	aside.Namespace = "staging"
	examine(t, aside, nil).want("queues.epoch", doctor.Note)

	do(t, rdb, "DEL evalq:epoch")
	fill(db.Ledger)
	examine(t, s, nil).want("queues.epoch", doctor.OK)
}

func TestTasksOfOthersInOurQueuesAreFound(t *testing.T) {
	t.Parallel()
	s, rdb, _ := onBoth(t)
	enqueue(t, rdb, "critical", s.Ledger.ID())
	examine(t, s, nil).want("queues.foreign", doctor.OK, "1 task looked at")

	enqueue(t, rdb, "low", "")
	e := examine(t, s, nil)
	e.want("queues.foreign", doctor.Note, "2 tasks looked at", "1 in low", "plain Asynq producers")
	if doctor.Worst(e.found).AtLeast(doctor.Warning) {
		t.Errorf("a plain producer is no warning:\n%s", e)
	}

	enqueue(t, rdb, "default", "0123456789abcdefghjkmnpq")
	enqueue(t, rdb, "default", "0123456789abcdefghjkmnpq", asynq.ProcessIn(1e12))
	examine(t, s, nil).want("queues.foreign", doctor.Warning, "2 in default", "0123456789abcdefghjkmnpq", "--namespace")

	s.Namespace = "staging" // has none of them
	e = examine(t, s, nil)
	e.want("queues.foreign", doctor.OK)
	e.want("queues.others", doctor.Note, "3 queues", `"critical"`)
}

func TestAHangingRedisEndsTheLookIntoTheQueuesInTime(t *testing.T) {
	t.Parallel()
	s, rdb, _ := onBoth(t)
	enqueue(t, rdb, "default", "")
	// From here on only scripts hang.
	do(t, rdb, "CLIENT PAUSE 3000 WRITE")
	e := examine(t, s, &doctor.Config{Patience: 1e9})
	e.want("queues.foreign", doctor.Warning, "no answer within 1s")
	e.want("queues.archive", doctor.OK)
}

func TestQueuesOfOtherProgramsAreNoted(t *testing.T) {
	t.Parallel()
	s, rdb, _ := onBoth(t)
	examine(t, s, nil).want("queues.others", doctor.OK)
	enqueue(t, rdb, "mail\x1b[2J", "")
	e := examine(t, s, nil)
	e.want("queues.others", doctor.Note, "1 queue", `"mail\x1b[2J"`) // steers no terminal
	e.want("queues.foreign", doctor.OK)
}

func TestAnArchiveNearItsCapIsAWarning(t *testing.T) {
	t.Parallel()
	s, rdb, _ := onBoth(t)
	add := func(from, to int) {
		var all []redis.Z
		for i := from; i < to; i++ {
			all = append(all, redis.Z{Score: float64(i), Member: "t" + strconv.Itoa(i)})
		}
		if err := rdb.ZAdd(t.Context(), "asynq:{low}:archived", all...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	add(0, 7999)
	examine(t, s, nil).want("queues.archive", doctor.OK, "7999")
	add(7999, 8000)
	examine(t, s, nil).want("queues.archive", doctor.Warning, "low", "8000", "10000", "evalq list --state dead")
	do(t, rdb, "ZREMRANGEBYRANK asynq:{low}:archived 0 4000")
	examine(t, s, nil).want("queues.archive", doctor.OK)
}

func TestPausesAreNotedAndSoIsThatTheTwoPlacesDisagree(t *testing.T) {
	t.Parallel()
	s, rdb, db := onBoth(t)
	insp := asynq.NewInspectorFromRedisClient(rdb)
	if err := insp.PauseQueue("low"); err != nil {
		t.Fatal(err)
	}
	examine(t, s, nil).want("queues.paused", doctor.Note, "low (in Redis alone)", "dashboard")
	bare := s
	bare.Ledger = nil
	examine(t, bare, nil).want("queues.paused", doctor.Note, "paused: low;")
	if err := db.Pause(t.Context(), tasks.Low, true, "test"); err != nil {
		t.Fatal(err)
	}
	examine(t, s, nil).want("queues.paused", doctor.Note, "paused: low;", "resume")
	if err := insp.UnpauseQueue("low"); err != nil {
		t.Fatal(err)
	}
	examine(t, s, nil).want("queues.paused", doctor.Note, "low (in the ledger alone")
}
