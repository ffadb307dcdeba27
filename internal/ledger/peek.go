package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Peek takes a database as it is, to look at it: unlike New it gives the ledger
// nothing that is missing, so one that never started has the empty id. The schema
// must be this program's. Without a handle for writing, which may be nil, every
// write is refused with tasks.ErrUnavailable. It closes neither handle.
func Peek(ctx context.Context, write, read *sql.DB, d Dialect, cfg *Config) (*Ledger, error) {
	c, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	l := unnamed(write, read, d, c)
	if write == nil {
		l.Close()
	}
	if err := l.row(ctx, `SELECT value FROM evalq_meta WHERE name = 'ledger_id'`).Scan(&l.id); err != nil && !isNoRows(err) {
		return nil, readError("id", err)
	}
	conn, err := read.Conn(ctx)
	if err != nil {
		return nil, readError("time", err)
	}
	defer conn.Close()
	// Otherwise a write sets the clock.
	if err := l.clock.sync(ctx, conn); err != nil {
		return nil, readError("time", err)
	}
	return l, nil
}

// Skew is how far this machine's clock is ahead of the database's, to within half
// a round trip. It is 0 for a database without a clock of its own.
func (l *Ledger) Skew(ctx context.Context) (time.Duration, error) {
	if l.dialect.clock == "" {
		return 0, nil
	}
	conn, err := l.read.Conn(ctx) // first, because connecting takes time
	if err != nil {
		return 0, readError("time", err)
	}
	defer conn.Close()
	theirs, ours, err := askTime(ctx, conn, l.dialect.clock, l.clock.now)
	if err != nil {
		return 0, readError("time", err)
	}
	return ours.Sub(theirs), nil
}

// Lease is what the relay that leads has last written to show that it does. It
// changes each second, and is empty when no relay leads.
func (l *Ledger) Lease(ctx context.Context) (string, error) {
	var value string
	if err := l.row(ctx, `SELECT value FROM evalq_meta WHERE name = ?`, sweeper).Scan(&value); err != nil && !isNoRows(err) {
		return "", fmt.Errorf("ledger: read the relay's lease: %w", err)
	}
	return value, nil
}
