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
	var ms int64
	asked := c.now()
	if err := conn.QueryRowContext(ctx, "SELECT "+c.query).Scan(&ms); err != nil {
		return fmt.Errorf("read the time: %w", err)
	}
	c.set(asked, ms)
	return nil
}

// set takes in what the database has just answered to a question asked then.
func (c *dbClock) set(asked time.Time, ms int64) {
	answered := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = asked.Add(answered.Sub(asked) / 2)
	c.base = at(ms)
}
