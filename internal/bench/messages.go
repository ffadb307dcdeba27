package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"evalq/client"
	"evalq/internal/ledger"
	"evalq/internal/sandbox"
	"evalq/mq"
)

// MessagesConfig says what Messages measures. The zero value works.
type MessagesConfig struct {
	// Length is how long one measurement takes. Defaults to 2 s.
	Length time.Duration
	// Rounds is how often everything is measured, in turn. Defaults to 5.
	Rounds int
	// Callers are the numbers of callers. None may be twice in it. Defaults to 1, 8
	// and 64.
	Callers []int
	// Dir is where the databases are made and removed again. Defaults to the
	// system's folder for temporary files.
	Dir string
	// Report is told what is under way. Defaults to nobody.
	Report func(string)
}

func (c *MessagesConfig) accept() AcceptConfig {
	if c == nil {
		c = &MessagesConfig{}
	}
	return AcceptConfig{Length: c.Length, Rounds: c.Rounds, Callers: c.Callers, Dir: c.Dir, Report: c.Report}
}

// Check names the first setting that is wrong.
func (c *MessagesConfig) Check() error {
	a := c.accept()
	return a.Check()
}

// MessagesRow is what one contender did with one number of callers.
type MessagesRow struct {
	Name    string `json:"name"`
	Callers int    `json:"callers"`
	Rate    Spread `json:"messages_per_second"`
	// Half and most of the calls took no longer than that, in milliseconds; the
	// median of the rounds.
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	// ToPublish compares with Redis's PUBLISH in the same round.
	ToPublish *Spread `json:"to_publish,omitempty"`
}

const publishName = "PUBLISH, which keeps nothing"

// Messages measures how many messages a second package mq publishes, beside
// Redis's PUBLISH to one subscriber, on a Redis of its own that syncs its file each
// second. It removes what it made.
func Messages(ctx context.Context, cfg *MessagesConfig) (_ []MessagesRow, err error) {
	a := cfg.accept()
	c, err := a.withDefaults()
	if err != nil {
		return nil, err
	}
	w := &world{}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := w.openMessages(ctx, c); err != nil {
		return nil, fmt.Errorf("bench: mq: %w", err)
	}
	taken, err := w.measure(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("bench: mq: %w", err)
	}
	var rows []MessagesRow
	for _, callers := range c.Callers {
		for _, t := range w.contenders {
			samples := taken[t.name][callers]
			rows = append(rows, MessagesRow{
				Name: t.name, Callers: callers,
				Rate:      spreadOf(each(samples, sample.rate)),
				P50:       spreadOf(each(samples, func(s sample) float64 { return s.quantile(0.5) })).Median,
				P99:       spreadOf(each(samples, func(s sample) float64 { return s.quantile(0.99) })).Median,
				ToPublish: ratio(samples, taken[publishName][callers]),
			})
		}
	}
	return rows, nil
}

func (w *world) openMessages(ctx context.Context, c AcceptConfig) error {
	c.Report("starting Redis")
	server, err := sandbox.StartRedis(ctx, &sandbox.Config{Dir: c.Dir})
	if err != nil {
		return err
	}
	w.later(server.Close)
	options, err := redis.ParseURL(server.URL())
	if err != nil {
		return err
	}
	options.PoolSize = 64
	rdb := redis.NewClient(options)
	w.later(rdb.Close)
	if err := w.addPublish(ctx, rdb); err != nil {
		return err
	}

	quiet := slog.New(slog.DiscardHandler)
	inRedis, err := mq.Open(ctx, &mq.Config{Kind: mq.KindRedis, Redis: rdb, Logger: quiet})
	if err != nil {
		return err
	}
	w.later(inRedis.Close)
	w.addQueue("RedisQueue.Publish", inRedis)

	c.Report("opening a ledger: sqlite")
	l, err := w.openSQLite(ctx, c)
	if err != nil {
		return err
	}
	url, err := w.serve(l)
	if err != nil {
		return err
	}
	door, err := client.Open(ctx, url, nil)
	if err != nil {
		return err
	}
	w.later(door.Close)
	inLedger, err := mq.Open(ctx, &mq.Config{Kind: mq.KindRedis, Redis: rdb, Client: door, Logger: quiet})
	if err != nil {
		return err
	}
	w.later(inLedger.Close)
	w.addQueue("RedisQueue.Publish to the ledger over HTTP, SQLite", inLedger)
	return w.addBridge(ctx, rdb, l)
}

// onTheBridge is how many messages may be on their way: well below what a bridge
// keeps in memory, so that none is lost.
const onTheBridge = 5000

// addBridge adds what a bridge takes in: messages count when they are jobs in the
// ledger, each committed. A call's time is that of its PUBLISH alone.
func (w *world) addBridge(ctx context.Context, rdb *redis.Client, l *ledger.Ledger) error {
	const prefix = "bridge:"
	bridge, err := mq.NewBridge(rdb, l, &mq.BridgeConfig{Prefixes: []string{prefix}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- bridge.Run(running) }()
	w.later(func() error { stop(); return <-ended })
	if err := until(ctx, func() bool { return bridge.Ready(ctx) == nil }); err != nil {
		return fmt.Errorf("the bridge did not subscribe: %w", err)
	}
	var sent atomic.Int64
	arrived := func() (n int64) {
		for _, c := range bridge.Stats() {
			n += c.Submitted + c.Existing + c.Quarantined + c.Unkept
		}
		return n
	}
	each := func(ctx context.Context, caller, _ int) error {
		if sent.Load()-arrived() > onTheBridge {
			if err := until(ctx, func() bool { return sent.Load()-arrived() < onTheBridge/2 }); err != nil {
				return err
			}
		}
		sent.Add(1)
		return rdb.Publish(ctx, prefix+"evaluation_report", wire(int64(caller+1), w.reports.Add(1))).Err()
	}
	w.contenders = append(w.contenders, contender{"PUBLISH, over the bridge into the ledger, SQLite", func(ctx context.Context, callers int, length time.Duration) (sample, error) {
		start := time.Now()
		s, err := load(ctx, callers, length, each)
		if err == nil {
			err = until(ctx, func() bool { return arrived() == sent.Load() })
		}
		s.seconds = time.Since(start).Seconds()
		return s, err
	}})
	return nil
}

// until asks each millisecond, for up to a minute.
func until(ctx context.Context, holds func() bool) error {
	limit, again := time.NewTimer(time.Minute), time.NewTicker(time.Millisecond)
	defer limit.Stop()
	defer again.Stop()
	for !holds() {
		select {
		case <-again.C:
		case <-limit.C:
			return errors.New("a minute was not enough")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// addPublish adds the original's way: PUBLISH, with a subscriber that only counts.
func (w *world) addPublish(ctx context.Context, rdb *redis.Client) error {
	const channel = "interview:messages:evaluation_report"
	sub := rdb.Subscribe(ctx, channel)
	if _, err := sub.Receive(ctx); err != nil {
		return errors.Join(err, sub.Close())
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range sub.Channel() {
		}
	}()
	w.later(func() error {
		err := sub.Close()
		<-ended
		return err
	})
	w.addLoad(publishName, func(ctx context.Context, user, report int64) error {
		return rdb.Publish(ctx, channel, wire(user, report)).Err()
	})
	return nil
}

// wire is a message of the original contract.
func wire(user, report int64) []byte {
	return fmt.Appendf(nil, `{"type":"evaluation_report","payload":{"report_id":%d,"user_id":%d}}`, report, user)
}

func (w *world) addQueue(name string, q mq.MessageQueue) {
	w.addLoad(name, func(ctx context.Context, user, report int64) error {
		return q.Publish(ctx, &mq.Message{
			Type:    mq.MessageTypeEvaluationReport,
			Payload: map[string]any{"user_id": user, "report_id": report},
		})
	})
}
