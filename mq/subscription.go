package mq

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"evalq/internal/redisconn"
)

// subscription is one Subscribe call of a RedisQueue.
type subscription struct {
	q       *RedisQueue
	rdb     *redis.Client // its own
	handler MessageHandler
	crew    *crew
	slots   chan struct{} // as many handlers run at once
}

// consume runs an Asynq server of its own until ctx ends or the queue closes.
func (q *RedisQueue) consume(ctx context.Context, handler MessageHandler) error {
	// Asynq ends the process when a client is closed under it, so this one is not
	// the caller's.
	options := *q.rdb.Options()
	options.PushNotificationProcessor = nil // each client has one of its own
	options.ContextTimeoutEnabled = true
	redisconn.Guard(&options)
	rdb := redis.NewClient(&options)
	defer rdb.Close()
	s := &subscription{q: q, rdb: rdb, handler: handler, crew: newCrew(ctx), slots: make(chan struct{}, q.rules.concurrency)}
	fetching, stopFetching := context.WithCancel(context.Background())
	defer stopFetching()
	srv := asynq.NewServerFromRedisClient(deaf{redisconn.Patient(rdb, fetching)}, s.config())
	if err := srv.Start(asynq.HandlerFunc(s.process)); err != nil {
		return err
	}
	working, stopWorking := context.WithCancel(context.Background())
	defer stopWorking()
	var beside sync.WaitGroup
	beside.Go(func() { (&lookout{rdb: rdb, name: q.name, hands: &q.hands, log: q.rules.log}).run(working) })
	beside.Go(func() { s.obey(working) })
	select {
	case <-ctx.Done():
	case <-q.closing:
	}
	stopFetching()
	beside.Go(srv.Stop) // a fetch may be under way that Redis does not answer
	err := s.crew.end(q.rules.drain)
	stopWorking()
	beside.Wait()
	srv.Shutdown()
	if err == nil {
		err = ctx.Err()
	}
	return err
}

// deaf is a client whose Asynq server hears of nothing that would make it try a
// task again beside the handler that still runs: not that it is cancelled, see obey,
// and not that its lease has expired, see lookout.
type deaf struct{ redis.UniversalClient }

func (d deaf) Subscribe(ctx context.Context, _ ...string) *redis.PubSub {
	return d.UniversalClient.Subscribe(ctx, "evalq:mq:silence")
}

func (d deaf) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	if len(keys) == 1 && strings.HasSuffix(keys[0], ":lease") { // the one script that lists leases
		none := redis.NewCmd(ctx)
		none.SetVal([]any{})
		return none
	}
	return d.UniversalClient.EvalSha(ctx, sha1, keys, args...)
}

// obey ends the contexts of handlers whose messages are cancelled in Asynqmon.
func (s *subscription) obey(ctx context.Context) {
	heard := s.rdb.Subscribe(ctx, "asynq:cancel")
	defer heard.Close()
	for {
		select {
		case m, ok := <-heard.Channel():
			if !ok {
				return
			}
			s.q.hands.cancel(m.Payload)
		case <-ctx.Done():
			return
		}
	}
}

func (s *subscription) config() asynq.Config {
	return asynq.Config{
		Concurrency:              s.q.rules.concurrency,
		Queues:                   map[string]int{s.q.name: 1},
		TaskCheckInterval:        20 * time.Millisecond,
		DelayedTaskCheckInterval: 500 * time.Millisecond,
		ShutdownTimeout:          returnGrace, // for the notes of handlers that have returned
		Logger:                   redisconn.AsynqLog(s.q.rules.log),
		LogLevel:                 asynq.InfoLevel,
		// A panic in a hook would end the process; these look at nothing but a
		// verdict.
		RetryDelayFunc: func(_ int, err error, _ *asynq.Task) time.Duration {
			var a *again
			if errors.As(err, &a) {
				return a.pause
			}
			return time.Second
		},
		IsFailure: func(err error) bool {
			var a *again
			return !errors.As(err, &a) || a.charged
		},
	}
}

// again is another try, as Asynq is told of it.
type again struct{ verdict }

func (a *again) Error() string { return a.err.Error() }

// grave makes Asynq archive the task and shows why.
type grave struct{ verdict }

func (g *grave) Error() string        { return g.err.Error() }
func (g *grave) Is(target error) bool { return target == asynq.SkipRetry }

// busyPause is the pause of a message that comes again while it is handled here.
const busyPause = 5 * time.Second

// process is one arrival of a message. Its context is not the handler's: Asynq
// ends it for reasons of its own, such as a Redis that was away, and then frees a
// slot whose handler still runs. So the slots are ours.
func (s *subscription) process(ctx context.Context, t *asynq.Task) error {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-s.crew.ctx.Done():
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return ctx.Err() // Asynq has dealt with it
	}
	if !s.crew.enter() {
		return &again{verdict{err: errHandBack}}
	}
	defer s.crew.leave()
	id, _ := asynq.GetTaskID(ctx)
	run, cancel := context.WithCancelCause(s.crew.ctx)
	defer cancel(nil)
	switch s.q.hands.take(id, cancel) {
	case isDone:
		return nil
	case isHeld:
		return &again{verdict{pause: busyPause, err: errors.New("it came again while it was being handled")}}
	}
	defer s.q.hands.drop(id)
	retried, _ := asynq.GetRetryCount(ctx)
	v := s.try(ctx, run, id, retried, t)
	switch v.fate {
	case done:
		// Ids of other programs may name another message the next time.
		if _, ours := t.Headers()[headerPublished]; ours {
			s.q.hands.finish(id)
		}
		return nil
	case buried:
		if err := s.makeRoom(); err != nil {
			s.q.rules.log.Warn("a message could not be set aside and is looked at again", "task_id", id, "err", err)
			return &again{verdict{pause: busyPause, err: v.err}}
		}
		s.q.rules.log.Error("a message was set aside", "type", t.Type(), "task_id", id, "class", classOf(v.err))
		s.note(id, fieldSpent, retried, fieldLosses, 0, fieldTransient, 0, redisconn.FieldType, t.Type())
		return &grave{v}
	}
	return &again{v}
}

func (s *subscription) makeRoom() error {
	ctx, cancel := context.WithTimeout(context.Background(), publishTimeout)
	defer cancel()
	return s.q.archive.makeRoom(ctx, s.rdb, s.q.name, s.q.rules)
}

func (s *subscription) try(ctx, run context.Context, id string, retried int, t *asynq.Task) verdict {
	past := s.past(id, retried)
	failures := max(0, retried-past.spent)
	r := s.q.rules
	switch {
	case past.losses >= r.attempts:
		return verdict{fate: buried, err: fmt.Errorf("%d processes died with it", past.losses)}
	case failures >= r.attempts: // Asynq itself has counted
		return verdict{fate: buried, err: fmt.Errorf("%d tries did not come to an end", failures)}
	}
	m, err := decode(MessageType(t.Type()), t.Payload())
	if err != nil {
		return verdict{fate: buried, err: err}
	}
	if end, ok := ctx.Deadline(); ok {
		// Other programs may have set a deadline, at which Asynq tries it again.
		r.timeout = min(r.timeout, time.Until(end)*9/10)
	}
	err = r.call(run, s.handler, m)
	v := r.judge(run, err, failures, past.transient)
	if v.fate == later && !v.charged && past.transient.IsZero() {
		s.note(id, fieldTransient, time.Now().UnixMilli())
	}
	return v
}
