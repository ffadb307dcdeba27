// Package relay keeps Asynq filled from the ledger, fairly among users, and
// brings back what Redis lost. It owns no truth: it can be killed at any moment,
// and what it had not done it finds again in the ledger.
package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"evalq/internal/ledger"
	"evalq/internal/redisconn"
	"evalq/tasks"
)

// HeaderLedger is the task header that names the ledger a task belongs to. It
// has to stay equal to worker's.
const HeaderLedger = "evalq-ledger"

const (
	breath = 5 * time.Millisecond   // between two passes, so that wake-ups gather
	turn   = 200 * time.Millisecond // a pass that has more to do than this lets other duties in between
)

// rhythm says how often each duty is done.
type rhythm struct {
	sweep  time.Duration // due jobs, missed wake-ups
	epoch  time.Duration // has Redis been wiped?
	loss   time.Duration // dead workers, tasks taken and not begun, chores
	begin  time.Duration // a task that is taken is begun by then
	verify time.Duration // tasks that Redis lost without being wiped
	age    time.Duration // how long a job must have rested to be verified
	house  time.Duration // history that is too old; 0 is never
}

var usual = rhythm{
	sweep: time.Second, epoch: 2 * time.Second, loss: 5 * time.Second,
	begin: 8 * time.Second, verify: time.Minute, age: 30 * time.Second, house: time.Minute,
}

// Config tunes a Relay.
type Config struct {
	// Namespace begins the names of the queues. Defaults to none.
	Namespace tasks.Namespace
	// Window is how many tasks of a queue may wait in Asynq at once. Defaults
	// to 20,000; a volatile engine wants about 2,000.
	Window int
	// Finished is about how many finished tasks a queue keeps in Asynq to look
	// at; when jobs finish fast, they are kept for a shorter time than their
	// policy says. Defaults to 100,000.
	Finished int
	// History is how long the events and attempts of a finished job are kept.
	// Defaults to 0, for ever.
	History time.Duration
	// Policies gives the retention of a kind. Defaults to tasks.PolicyFor.
	Policies func(tasks.Kind) tasks.Policy
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

// Relay hands jobs from one ledger to one Redis.
type Relay struct {
	cfg    Config
	id     string // as the holder of the lease
	ledger *ledger.Ledger
	rdb    redis.UniversalClient
	client *asynq.Client
	queues map[tasks.Priority]*queue
	epoch  string
	run    string               // what Redis calls the present run of its server; empty if it does not say
	taken  map[string]time.Time // active tasks, and when each was first seen so
	leads  bool                 // this relay does what one does for all
	aside  time.Time            // when it last let another lead
	away   bool                 // the ledger could not be reached
	down   backoff
	every  rhythm
}

// queue is what the relay remembers about a queue between two passes.
type queue struct {
	after  int64 // where the round robin goes on
	waited int   // tasks that waited when it was last fed, those fed included
	drain  rate  // of tasks that workers took
	// archived is up to when archived tasks were looked at, in seconds.
	archived int64
}

// note learns from the tasks that wait now how many have left since the last
// look. What is handed out does not count: a window that grew with it would
// open itself.
func (q *queue) note(fed ledger.Fed, now time.Time) {
	q.drain.add(max(0, q.waited-fed.Waiting))
	q.drain.tick(now)
	q.waited = fed.Waiting + len(fed.Jobs)
}

// New takes the ledger and the client that workers and dashboard use too. It
// closes neither.
func New(l *ledger.Ledger, rdb redis.UniversalClient, cfg *Config) (*Relay, error) {
	c := Config{}
	if cfg != nil {
		c = *cfg
	}
	if l == nil {
		return nil, errors.New("relay: the ledger is nil")
	}
	if rdb == nil {
		return nil, errors.New("relay: the Redis client is nil")
	}
	if c.Window < 0 {
		return nil, fmt.Errorf("relay: Window: %d is below zero", c.Window)
	}
	if c.Window == 0 {
		c.Window = 20_000
	}
	if c.History < 0 {
		return nil, fmt.Errorf("relay: History: %s is below zero", c.History)
	}
	if c.Finished < 0 {
		return nil, fmt.Errorf("relay: Finished: %d is below zero", c.Finished)
	}
	if c.Finished == 0 {
		c.Finished = 100_000
	}
	if c.Policies == nil {
		c.Policies = tasks.PolicyFor
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	redisconn.GuardClient(rdb)
	r := &Relay{
		cfg: c, id: "r" + tasks.NewID(time.Now()), ledger: l, rdb: rdb,
		client: asynq.NewClientFromRedisClient(rdb),
		queues: map[tasks.Priority]*queue{}, every: usual,
	}
	for _, p := range tasks.Priorities() {
		r.queues[p] = &queue{}
	}
	return r, nil
}

// Run hands out jobs until ctx ends. Redis being away is no error: jobs wait in
// the ledger and flow when it is back. Of several relays on one ledger all hand
// out, each queue by one at a time, and one does the rest; when that one is gone
// another follows within about 5 s.
func (r *Relay) Run(ctx context.Context) error {
	sweep, epoch := time.NewTicker(r.every.sweep), time.NewTicker(r.every.epoch)
	loss, verify := time.NewTicker(r.every.loss), time.NewTicker(r.every.verify)
	for _, t := range []*time.Ticker{sweep, epoch, loss, verify} {
		defer t.Stop()
	}
	verifying := false // due, and not done yet
	defer r.resign(ctx)
	defer r.background(ctx, r.every.house, "keep house", r.keepHouse)()
	r.lead(ctx)
	r.chief(ctx, "take up what a restored ledger has forgotten", r.takeUp)
	r.pass(ctx)
	r.chief(ctx, "do chores", r.chores)
	r.chief(ctx, "trim archives", r.trimArchives)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.ledger.Changed():
			r.pass(ctx)
			if !pause(ctx, breath) {
				return nil
			}
		case <-sweep.C:
			r.lead(ctx)
			r.recover(ctx)
			r.pass(ctx)
		case <-epoch.C:
			r.chief(ctx, "look for a wiped Redis", r.checkEpoch)
			r.chief(ctx, "look for tasks that were not begun", r.sweepActive)
			r.unhold(ctx)
		case <-loss.C:
			r.chief(ctx, "take broken tasks out", r.sweepBroken)
			r.chief(ctx, "keep messages that left their archive", r.keepMessages)
			r.chief(ctx, "take oversize tasks out", r.sweepOversize)
			r.chief(ctx, "look for archived tasks of living jobs", r.sweepArchived)
			r.chief(ctx, "do chores", r.chores)
			r.chief(ctx, "register queues", r.registerQueues)
			if verifying {
				verifying = !r.verify(ctx)
			}
		case <-verify.C:
			r.chief(ctx, "take up what a restored ledger has forgotten", r.takeUp)
			r.chief(ctx, "trim archives", r.trimArchives)
			verifying = !r.verify(ctx)
		}
	}
}

// verify looks for tasks that Redis has lost, and reports whether it came to an
// end: while Redis is away it does not.
func (r *Relay) verify(ctx context.Context) (done bool) {
	r.chief(ctx, "verify tasks in Redis", func(ctx context.Context) error {
		err := r.reconcile(ctx, r.every.age)
		done = err == nil
		return err
	})
	return done
}

// lead asks for the lease. Who has just got it looks at everything at once,
// because nobody may have for a while. Renewing it is a write: a ledger that
// takes none has nobody look for lost workers, who could not have beaten.
func (r *Relay) lead(ctx context.Context) {
	if r.stepAside(ctx) {
		r.leads = false
		return
	}
	led := r.leads
	var err error
	r.leads, err = r.ledger.Lead(ctx, r.id)
	r.noteLedger(ctx, err)
	if r.leads && !led {
		r.epoch = ""
		r.guard(ctx, "look for a wiped Redis", r.checkEpoch)
	}
}

// noteLedger tells once that the ledger is away, and once that it is back.
func (r *Relay) noteLedger(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
	case err != nil && !r.away:
		r.away = true
		r.cfg.Logger.Warn("the ledger cannot be used; trying again each second", "err", err)
	case err == nil && r.away:
		r.away = false
		r.cfg.Logger.Info("the ledger is back")
	}
}

func (r *Relay) resign(ctx context.Context) {
	if !r.leads {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := r.ledger.Resign(ctx, r.id); err != nil {
		r.cfg.Logger.Info("the relay's lease was not given back; another relay takes it over", "relay", r.id, "err", err)
	}
}

// chief runs a duty that one relay does for all.
func (r *Relay) chief(ctx context.Context, what string, duty func(context.Context) error) {
	if r.leads {
		r.guard(ctx, what, duty)
	}
}

// recover and unhold need no Redis, so they do not wait for it.
func (r *Relay) recover(ctx context.Context) {
	if !r.leads {
		r.noteLedger(ctx, r.ledger.Observe(ctx))
		return
	}
	lost, err := r.ledger.Recover(ctx)
	r.noteLedger(ctx, err)
	if lost > 0 {
		r.cfg.Logger.Warn("workers fell silent; their jobs are delivered again", "jobs", lost)
	}
}

func (r *Relay) unhold(ctx context.Context) {
	if !r.leads {
		return
	}
	n, err := r.ledger.Unhold(ctx)
	r.noteLedger(ctx, err)
	if n > 0 {
		r.cfg.Logger.Info("held jobs go on that nobody had released", "jobs", n)
	}
}

// guard runs one duty. Its errors are logged and the next tick tries again,
// because no duty may stop the others.
func (r *Relay) guard(ctx context.Context, what string, duty func(context.Context) error) {
	if !r.down.ready() {
		return
	}
	if err := duty(ctx); err != nil && ctx.Err() == nil {
		wait := r.down.fail()
		r.cfg.Logger.Warn("relay duty failed", "duty", what, "err", err, "retry_in", wait)
		return
	}
}

// pass makes due jobs ready and fills every queue up to its window.
func (r *Relay) pass(ctx context.Context) {
	r.guard(ctx, "hand out jobs", func(ctx context.Context) error {
		o, err := r.ledger.Look(ctx)
		if err != nil {
			return err
		}
		if o.Ripe && r.leads {
			if _, err := r.ledger.Ripen(ctx); err != nil {
				return err
			}
		}
		if o.Unhandled && r.leads {
			if err := r.releaseHandled(ctx); err != nil {
				return err
			}
		}
		if r.down.step > 0 {
			// Ask before moving jobs back and forth in the ledger. A Redis that
			// is full or a replica answers a ping and takes no task, so write.
			if err := r.rdb.Set(ctx, "evalq:probe:"+r.ledger.ID(), 1, time.Minute).Err(); err != nil {
				return fmt.Errorf("relay: write to Redis: %w", err)
			}
		}
		if err := r.fillAll(ctx, o); err != nil {
			return err
		}
		r.down.succeed()
		return nil
	})
}

// releaseHandled sends jobs on their way whose kind a worker handles by now.
func (r *Relay) releaseHandled(ctx context.Context) error {
	n, more, err := r.ledger.ReleaseHandled(ctx)
	if n > 0 {
		r.cfg.Logger.Info("jobs go on whose kind a worker handles now", "jobs", n)
	}
	if more {
		r.ledger.Wake()
	}
	return err
}

// fillAll hands out a chunk of each queue in turn, so that a busy queue does not
// keep the others waiting.
func (r *Relay) fillAll(ctx context.Context, o ledger.Outlook) error {
	more := map[tasks.Priority]bool{}
	for _, p := range tasks.Priorities() {
		more[p] = o.Ripe || o.Unhandled || o.Ready[p] || o.Busy[p]
	}
	end := time.Now().Add(turn)
	for left := true; left; {
		if time.Now().After(end) {
			r.ledger.Wake()
			return nil
		}
		left = false
		for _, p := range tasks.Priorities() {
			if !more[p] {
				continue
			}
			var err error
			if more[p], err = r.fill(ctx, p, o); err != nil {
				return err
			}
			left = left || more[p]
		}
	}
	if o.Ripe && r.leads {
		r.ledger.Wake() // Ripen takes a part at a time
	}
	return nil
}

// fill hands out one chunk of a queue.
func (r *Relay) fill(ctx context.Context, p tasks.Priority, o ledger.Outlook) (more bool, err error) {
	q := r.queues[p]
	fed, err := r.ledger.Feed(ctx, p, ledger.Window{
		PerUser: max(8, 2*o.Slots, int(q.drain.perSecond(time.Now()))), Total: r.cfg.Window, After: q.after, Busy: o.Busy[p],
	})
	if errors.Is(err, tasks.ErrOutcomeUnknown) {
		r.epoch = "" // what was handed out, if anything, is looked for soon
	}
	if err != nil {
		return false, err
	}
	if fed.Elsewhere {
		return false, nil
	}
	q.note(fed, time.Now())
	if len(fed.Jobs)+fed.Held == 0 {
		return false, nil
	}
	q.after = fed.After
	for i, j := range fed.Jobs {
		if err := r.enqueue(ctx, j); err != nil {
			q.waited -= len(fed.Jobs) - i
			return false, errors.Join(err, r.takeBack(ctx, fed.Jobs[i:]))
		}
	}
	return fed.More, nil
}

// takeBack returns jobs that did not reach Redis. If even that fails they stay
// queued in the ledger and reconcile finds them.
func (r *Relay) takeBack(ctx context.Context, jobs []tasks.Job) error {
	ids := make([]string, len(jobs))
	for i, j := range jobs {
		ids[i] = j.ID
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return r.ledger.Unfeed(ctx, ids, "Redis did not take it")
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
