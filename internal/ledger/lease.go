package ledger

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// leaseFor is how long the lease has to stand still, while somebody looks,
// before another takes it.
const leaseFor = 4 * time.Second

const sweeper = "sweeper"

// leadership is which relay of this process had the lease last, and when it asked.
type leadership struct {
	holder string
	at     time.Time
}

// Lead asks for the duties that one relay does for all: looking for lost
// workers, for a wiped Redis and for lost tasks. It is to be called each second.
// The lease stands in the ledger and is known by its changing, so a holder that
// was stopped, cut off or killed loses it after 4 s, and no clock is compared.
// Two that both believe to lead for a moment do no harm: each duty is fenced by
// itself.
func (l *Ledger) Lead(ctx context.Context, holder string) (bool, error) {
	if l.dialect.OneOwner {
		return true, nil
	}
	leads := false
	err := l.pulse.soon(ctx, func(t *txn) error {
		leads = false
		var value string
		found, err := t.row([]any{&value}, `SELECT value FROM evalq_meta WHERE name = ?`+t.d.lock, sweeper)
		if err != nil {
			return err
		}
		owner, count, _ := strings.Cut(value, " ")
		free := !found || owner == "" || owner == holder
		if !free && len(l.lease.look(l.clock.now(), map[string]string{sweeper: value}, nil, leaseFor)) == 0 {
			return nil
		}
		leads = true
		n, _ := strconv.ParseInt(count, 10, 64)
		return t.setMeta(sweeper, holder+" "+strconv.FormatInt(n+1, 10))
	})
	now := l.clock.now()
	if lockedOnly(err) {
		// No relay can take the lease while it is locked, so the leader goes on. A relay
		// that has not asked for as long as a lease may have lost it before the lock.
		led, _ := l.led.Load().(leadership)
		if led.holder != holder || now.Sub(led.at) >= leaseFor {
			return false, nil
		}
		l.led.Store(leadership{holder, now})
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("ledger: ask for the lease: %w", err)
	}
	if leads {
		l.led.Store(leadership{holder, now})
	} else if led, _ := l.led.Load().(leadership); led.holder == holder {
		l.led.Store(leadership{})
	}
	return leads, nil
}

// Resign gives the lease up, so that another relay need not wait for it.
func (l *Ledger) Resign(ctx context.Context, holder string) error {
	if l.dialect.OneOwner {
		return nil
	}
	l.led.Store(leadership{})
	err := l.pulse.soon(ctx, func(t *txn) error {
		_, err := t.exec(`UPDATE evalq_meta SET value = '' WHERE name = ? AND value LIKE ?`, sweeper, holder+" %")
		return err
	})
	if err != nil {
		return fmt.Errorf("ledger: give up the lease: %w", err)
	}
	return nil
}
