package relay

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"evalq/tasks"
)

// ErrOtherLedger means that the queues in a Redis belong to another ledger. Two
// ledgers on the same queues would set each other's tasks aside.
var ErrOtherLedger = errors.New("the queues in this Redis belong to another ledger; give this one another Redis, another database number or a --namespace of its own")

// The epoch is a key of ours in Redis: the ledger's id and a random word, with a
// space between. When it is gone, so is everything else.
const epochKey = "epoch"

// Claim refuses a Redis whose queues belong to another ledger. It writes nothing:
// the relay marks a Redis as its ledger's when it has filled it.
func Claim(ctx context.Context, rdb redis.UniversalClient, n tasks.Namespace, ledger string) error {
	have, err := rdb.Get(ctx, n.Key(epochKey)).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("relay: read epoch: %w", err)
	}
	return ownedBy(n, have, ledger)
}

func ownedBy(n tasks.Namespace, epoch, ledger string) error {
	owner, _, _ := strings.Cut(epoch, " ")
	if owner == "" || owner == ledger {
		return nil
	}
	return fmt.Errorf("relay: this ledger is %s, the other one %.40q: %w. If that ledger is gone for good, delete the key %q in Redis and start again", ledger, owner, ErrOtherLedger, n.Key(epochKey))
}

// checkEpoch notices that Redis was wiped, by a key that only the relay writes, or
// that another run of it answers. Then it looks through everything.
func (r *Relay) checkEpoch(ctx context.Context) error {
	key := r.cfg.Namespace.Key(epochKey)
	have, err := r.rdb.Get(ctx, key).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("relay: read epoch: %w", err)
	}
	if err := ownedBy(r.cfg.Namespace, have, r.ledger.ID()); err != nil {
		return err
	}
	run := r.runID(ctx)
	switch {
	case have != "" && have == r.epoch && run == r.run:
		return nil
	case have != "" && have == r.epoch:
		r.cfg.Logger.Info("Redis was started again, or another one has taken its place; what it lost is delivered again")
	case r.epoch != "":
		r.cfg.Logger.Warn("Redis was wiped; its tasks are delivered again from the ledger")
	}
	if err := r.reconcile(ctx, 0); err != nil {
		return err
	}
	if have == "" {
		if err := r.ledger.ShowDead(ctx, shownDead); err != nil {
			return err
		}
		if have, err = r.mark(ctx, key); err != nil {
			return err
		}
	}
	r.epoch, r.run = have, run
	return nil
}

// runID names the present run of the server. After a crash, and on a replica that
// takes over, the last writes may be missing while the epoch is there. A Redis
// that does not say is looked through at the usual pace.
func (r *Relay) runID(ctx context.Context) string {
	info, err := r.rdb.Info(ctx, "server").Result()
	if err != nil {
		return r.run
	}
	for line := range strings.Lines(info) {
		if id, ok := strings.CutPrefix(line, "run_id:"); ok {
			return strings.TrimSpace(id)
		}
	}
	return ""
}

// mark writes an epoch unless another relay did so just now.
func (r *Relay) mark(ctx context.Context, key string) (string, error) {
	if err := r.rdb.SetNX(ctx, key, r.ledger.ID()+" "+tasks.NewID(time.Now()), 0).Err(); err != nil {
		return "", fmt.Errorf("relay: write epoch: %w", err)
	}
	have, err := r.rdb.Get(ctx, key).Result()
	if err != nil {
		return "", fmt.Errorf("relay: read epoch: %w", err)
	}
	return have, nil
}
