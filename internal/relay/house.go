package relay

import (
	"context"
	"time"
)

// background runs a duty now and then, beside the others and not in turn with
// them, because it may take long. It returns a function that waits for its end,
// which comes with that of ctx.
func (r *Relay) background(ctx context.Context, every time.Duration, what string, duty func(context.Context) error) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for every > 0 && pause(ctx, every) {
			if err := duty(ctx); err != nil && ctx.Err() == nil {
				r.cfg.Logger.Warn("relay duty failed", "duty", what, "err", err, "retry_in", every)
			}
		}
	}()
	return func() { <-done }
}

// keepHouse trims the history of jobs that finished long ago. Several relays may
// do so at once.
func (r *Relay) keepHouse(ctx context.Context) error {
	var before time.Time
	if r.cfg.History > 0 {
		before = r.ledger.Now().Add(-r.cfg.History)
	}
	n, err := r.ledger.Trim(ctx, before)
	if n > 0 {
		r.cfg.Logger.Info("history was trimmed", "jobs", n)
	}
	return err
}
