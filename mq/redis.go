package mq

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"evalq/client"
	"evalq/internal/redisconn"
	"evalq/tasks"
)

// headerPublished is the header of a task that says when its message was
// published, in milliseconds since 1970.
const headerPublished = "evalq-mq-published"

// Asynq's own limits are set where they are never reached: the rules decide.
const (
	maxRetry    = 1_000_000
	taskTimeout = 24 * time.Hour
)

// RedisQueue keeps messages in Redis, as tasks of Asynq in a queue named mq, whose
// type is the message's and whose payload is the message's as JSON. So they can be
// seen and run again in Asynqmon, and any program that knows Asynq can publish.
//
// It promises what its Redis promises. After UseClient the two evaluation types go
// to evalq's ledger instead. It is safe for concurrent use.
type RedisQueue struct {
	rdb       *redis.Client
	prompt    *redis.Client // shares its connections, and heeds a context's end while it waits for an answer
	rules     rules
	name      string
	client    *client.Client // of this queue; nil means that of UseClient
	tasks     *asynq.Client
	inspector *asynq.Inspector
	watch     watch
	closing   chan struct{}
	hands     hands
	archive   archive

	mu     sync.Mutex
	closed bool
	subs   sync.WaitGroup
}

var errNilRedis = errors.New("the Redis client is nil: give NewRedisQueue a *redis.Client")

// NewRedisQueue makes a queue on client, which stays the caller's to close. It
// connects to nothing, and adds a hook to client that leaves a connection on which the
// server says that it may not serve writes. With a nil client every method returns an
// error that says so.
func NewRedisQueue(client *redis.Client) *RedisQueue { return newRedis(client, "", defaultRules()) }

// NewRedisQueueIn is NewRedisQueue for one of several platforms that share a Redis:
// the name of its queue begins with the namespace, as with Config.Namespace.
func NewRedisQueueIn(ns tasks.Namespace, client *redis.Client) *RedisQueue {
	return newRedis(client, ns, defaultRules())
}

func newRedis(rdb *redis.Client, ns tasks.Namespace, r rules) *RedisQueue {
	q := &RedisQueue{rdb: rdb, rules: r, name: ns.Queue(tasks.Messages), closing: make(chan struct{})}
	q.watch = watch{every: lonelyEvery, look: q.tellLonely}
	if rdb != nil {
		redisconn.GuardClient(rdb)
		q.prompt = rdb.WithTimeout(rdb.Options().ReadTimeout)
		q.prompt.Options().ContextTimeoutEnabled = true
		redisconn.GuardClient(q.prompt) // it has no hook of rdb's
		q.tasks = asynq.NewClientFromRedisClient(q.prompt)
		q.inspector = asynq.NewInspectorFromRedisClient(q.prompt)
	}
	return q
}

// GetRedisClient gives the client that the queue was made with.
func (q *RedisQueue) GetRedisClient() *redis.Client {
	if q == nil {
		return nil
	}
	return q.rdb
}

// Publish returns nil when the message is in Redis, or for the two evaluation types
// after UseClient, in evalq's ledger. It works within 10 s or fails, also after
// Close, and pays no heed to the end of ctx. While Redis cannot be reached it tries
// again until then. After an error the message may be stored all the same, when it
// was the answer that got lost; publishing again is then a second message, but for
// the ledger, which knows the first.
func (q *RedisQueue) Publish(ctx context.Context, message *Message) error {
	if err := usable(ctx, q); err != nil {
		return fmt.Errorf("mq: publish: %w", err)
	}
	payload, err := message.encode()
	if err != nil {
		return fmt.Errorf("mq: publish: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
	defer cancel()
	if c := q.ledger(); c != nil && message.Type.known() {
		if err := submit(ctx, c, message); err != nil {
			return fmt.Errorf("mq: publish %q: %w", message.Type, err)
		}
		return nil
	}
	if q.rdb == nil {
		return fmt.Errorf("mq: publish %q: %w", message.Type, errNilRedis)
	}
	if err := q.enqueue(ctx, message.Type, payload); err != nil {
		return fmt.Errorf("mq: publish %q: %w", message.Type, err)
	}
	q.watch.published()
	return nil
}

func (q *RedisQueue) ledger() *client.Client {
	if q.client != nil {
		return q.client
	}
	return theClient()
}

// submit makes the message a job.
func submit(ctx context.Context, c *client.Client, m *Message) error {
	payload, err := request(m)
	if err != nil {
		return invalid(err)
	}
	_, err = c.Submit(ctx, payload)
	return err
}

// enqueue repeats itself under the same id until Redis answers or ctx ends: a
// conflict is then with itself.
func (q *RedisQueue) enqueue(ctx context.Context, t MessageType, payload []byte) error {
	now := time.Now()
	id := "m" + tasks.NewID(now)
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		// A new one each time: Asynq writes behind the options of a task.
		task := asynq.NewTaskWithHeaders(string(t), payload, map[string]string{headerPublished: strconv.FormatInt(now.UnixMilli(), 10)})
		_, err := q.tasks.EnqueueContext(ctx, task, asynq.TaskID(id), asynq.Queue(q.name), asynq.MaxRetry(maxRetry), asynq.Timeout(taskTimeout))
		if err == nil || errors.Is(err, asynq.ErrTaskIDConflict) {
			return nil
		}
		if closedClient(q.rdb) {
			return errors.New("the Redis client is closed")
		}
		if !sleep(ctx, pause) {
			return fmt.Errorf("redis: %w", err)
		}
	}
}

// closedClient asks the client itself, whose error Asynq does not hand on.
func closedClient(rdb *redis.Client) bool {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	return errors.Is(rdb.Ping(ended).Err(), redis.ErrClosed)
}

// sleep is false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Subscribe gives messages to handler, ten at a time unless Open was told another
// number, until ctx ends or the queue is closed. It blocks also while Redis cannot
// be reached, says so in the log and in Ready, and goes on when Redis is back. Its
// connections are its own, with the client's options and without its hooks, so the
// order in which a program closes the client and the queue does not matter. When it
// ends, running handlers have 20 s; then their context ends and their messages wait
// for the next who subscribes.
//
// A message whose process has died is given to another within 20 s, as long as
// somebody is subscribed; after five such deaths it is set aside. One that is
// cancelled in Asynqmon is set aside when its handler heeds the end of its context.
// A run by hand of what was set aside starts a fresh budget.
func (q *RedisQueue) Subscribe(ctx context.Context, handler MessageHandler) error {
	if err := usable(ctx, q); err != nil {
		return fmt.Errorf("mq: subscribe: %w", err)
	}
	switch {
	case handler == nil:
		return fmt.Errorf("mq: subscribe: %w", invalid(errors.New("the handler is nil")))
	case q.rdb == nil:
		return fmt.Errorf("mq: subscribe: %w", errNilRedis)
	case ctx.Err() != nil:
		return fmt.Errorf("mq: subscribe: %w", ctx.Err())
	case closedClient(q.rdb):
		return fmt.Errorf("mq: subscribe: %w", redis.ErrClosed)
	}
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return fmt.Errorf("mq: subscribe: %w", ErrClosed)
	}
	q.subs.Add(1)
	q.mu.Unlock()
	defer q.subs.Done()
	if err := q.consume(ctx, handler); err != nil {
		return fmt.Errorf("mq: subscribe: %w", err)
	}
	return nil
}

// Close ends all Subscribe calls and waits for them, and so for their handlers. It
// does not close the Redis client, and Publish still works.
func (q *RedisQueue) Close() error {
	if q == nil {
		return nil
	}
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		if q.closing != nil { // it is in a queue that nobody made with NewRedisQueue
			close(q.closing)
		}
	}
	q.mu.Unlock()
	q.watch.close()
	q.subs.Wait()
	return nil
}

// Ready is an error when Redis does not answer, and while messages wait and nobody
// has subscribed, in any process.
func (q *RedisQueue) Ready(ctx context.Context) error {
	if err := usable(ctx, q); err != nil {
		return fmt.Errorf("mq: ready: %w", err)
	}
	if q.rdb == nil {
		return fmt.Errorf("mq: %w", errNilRedis)
	}
	prefix := "asynq:{" + q.name + "}:"
	var pending, retrying *redis.IntCmd
	if _, err := q.prompt.Pipelined(ctx, func(p redis.Pipeliner) error {
		pending, retrying = p.LLen(ctx, prefix+"pending"), p.ZCard(ctx, prefix+"retry")
		return nil
	}); err != nil {
		return fmt.Errorf("mq: redis: %w", err)
	}
	n := int(pending.Val() + retrying.Val())
	if n == 0 {
		return nil
	}
	servers, err := q.inspector.Servers()
	if err != nil {
		return fmt.Errorf("mq: redis: %w", err)
	}
	for _, s := range servers {
		if _, ok := s.Queues[q.name]; ok && s.Status == "active" {
			return nil
		}
	}
	return lonely(n)
}

func (q *RedisQueue) tellLonely() (again bool) {
	ctx, cancel := context.WithTimeout(context.Background(), publishTimeout)
	defer cancel()
	err := q.Ready(ctx)
	if err != nil && !closedClient(q.rdb) {
		q.rules.log.Error("messages are not handled", "err", err)
		return true
	}
	return false
}
