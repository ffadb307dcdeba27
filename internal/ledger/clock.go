package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"
)

// syncEvery is how often the ledger's time is set by the database's. Between two
// settings it advances with this machine's monotonic clock, which does not jump
// when somebody sets the time of day.
const syncEvery = 10 * time.Second

// dbClock is the time that all processes of a ledger share.
type dbClock struct {
	query string           // gives the database's milliseconds; empty: now is the time
	now   func() time.Time // of this process
	mu    sync.Mutex
	base  time.Time // what the database said
	at    time.Time // and when, by now
}

func (c *dbClock) Now() time.Time {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.base.IsZero() {
		return now
	}
	return c.base.Add(now.Sub(c.at))
}

// sync asks the database for the time when the last answer is old.
func (c *dbClock) sync(ctx context.Context, conn *sql.Conn) error {
	if c.query == "" {
		return nil
	}
	c.mu.Lock()
	fresh := !c.base.IsZero() && c.now().Sub(c.at) < syncEvery
	c.mu.Unlock()
	if fresh {
		return nil
	}
	theirs, ours, err := askTime(ctx, conn, c.query, c.now)
	if err != nil {
		return err
	}
	c.set(theirs, ours)
	return nil
}

// set takes in what the database's time was at a moment of ours.
func (c *dbClock) set(theirs, ours time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.base, c.at = theirs, ours
}

// askTime reads the database's time and ours at the middle of the round trip.
func askTime(ctx context.Context, conn *sql.Conn, query string, now func() time.Time) (theirs, ours time.Time, err error) {
	var ms int64
	asked := now()
	if err := conn.QueryRowContext(ctx, "SELECT "+query).Scan(&ms); err != nil {
		return theirs, ours, fmt.Errorf("read the time: %w", err)
	}
	return at(ms), asked.Add(now().Sub(asked) / 2), nil
}
