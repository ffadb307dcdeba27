package relay

import (
	"context"
	"time"
)

const (
	asideAfter = 5 * time.Second  // without Redis
	asideFor   = 10 * time.Second // others ask for the lease each second
	asideAgain = time.Minute
)

// stepAside reports whether another relay should lead: one that does not reach
// Redis sees nothing of what Redis lost. When none takes the lease in a while,
// because Redis is away for all, this one goes on: lost workers are looked for
// without Redis.
func (r *Relay) stepAside(ctx context.Context) bool {
	if r.down.step == 0 {
		return false
	}
	now := time.Now()
	if r.leads && now.Sub(r.down.since) >= asideAfter && now.Sub(r.aside) >= asideAgain {
		r.aside = now
		r.resign(ctx)
	}
	return now.Sub(r.aside) < asideFor
}
