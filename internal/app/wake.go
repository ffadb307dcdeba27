package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"evalq/internal/ledger"
)

// waker carries "there is something to do" between the processes of one ledger,
// over a channel of their Redis. It is a hint: a relay looks by itself each
// second.
type waker struct {
	ledger  *ledger.Ledger
	rdb     redis.UniversalClient
	channel string
	log     *slog.Logger
}

// wakeGap gathers the wake-ups of a burst into one.
const wakeGap = 2 * time.Millisecond

// tell passes on what this process, which has no relay, has changed.
func (w *waker) tell(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.ledger.Changed():
		}
		// Lost when Redis is away: then the relay could do nothing anyway.
		call, cancel := context.WithTimeout(ctx, 2*time.Second)
		if err := w.rdb.Publish(call, w.channel, "").Err(); err != nil && ctx.Err() == nil {
			w.log.Debug("a relay could not be woken", "err", err)
		}
		cancel()
		rest(ctx, wakeGap)
	}
}

// hear wakes the relay of this process when others tell. The client connects
// again by itself.
func (w *waker) hear(ctx context.Context) error {
	sub := w.rdb.Subscribe(ctx, w.channel)
	defer sub.Close()
	messages := sub.Channel(redis.WithChannelSize(1))
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-messages:
			if !ok {
				<-ctx.Done()
				return nil
			}
			w.ledger.Wake()
		}
	}
}

func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
