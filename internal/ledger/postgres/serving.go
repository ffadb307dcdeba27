package postgres

import (
	"context"
	"database/sql/driver"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// lifetime is how long a connection is kept: a proxy before several servers sends a new
// one to the server that serves now.
const lifetime = time.Minute

// lookEvery is how old the last look at the server may be when a connection is used
// again.
const lookEvery = time.Second

// readOnly is "on" on a standby, and where default_transaction_read_only says so.
const readOnly = "SELECT current_setting('transaction_read_only')"

// writable refuses a server that takes no writes; of several hosts in the URL the next
// one is tried then.
func writable(ctx context.Context, conn *pgconn.PgConn) error {
	all, err := conn.Exec(ctx, readOnly).ReadAll()
	if err == nil && len(all) == 1 && len(all[0].Rows) == 1 && string(all[0].Rows[0][0]) != "off" {
		err = &pgconn.PgError{Severity: "ERROR", Code: "25006", Message: "transaction_read_only is on"}
	}
	if err != nil {
		return fault(err).Explain(err)
	}
	conn.CustomData()[lookedAt] = time.Now()
	return nil
}

// lookedAt is where a connection keeps the time of the last look.
const lookedAt = "evalq.looked"

// serving has connections of a pool looked at when they are made and, once a second at
// most, when they are used again. It takes the place of the driver's own ping.
func serving(conf *pgx.ConnConfig) []stdlib.OptionOpenDB {
	conf.ValidateConnect = writable
	return []stdlib.OptionOpenDB{
		stdlib.OptionShouldPing(func(context.Context, stdlib.ShouldPingParams) bool { return false }),
		stdlib.OptionResetSession(func(ctx context.Context, c *pgx.Conn) error {
			looked, _ := c.PgConn().CustomData()[lookedAt].(time.Time)
			if time.Since(looked) < lookEvery || writable(ctx, c.PgConn()) == nil {
				return nil
			}
			return driver.ErrBadConn
		}),
	}
}
