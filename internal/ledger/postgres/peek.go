package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3/database"

	"evalq/internal/ledger"
	"evalq/internal/ledger/migration"
)

// Peek connects like Open and takes the database as it is, to look at it: nothing
// is made or brought up to date. DB.Ledger is nil when the schema is not this
// program's.
func Peek(ctx context.Context, url string) (_ *DB, err error) {
	d, err := connect(ctx, url, false)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("postgres: look at the ledger in %s: %w", d.Place, err), d.Close())
		}
	}()
	have, want, err := d.Schema(ctx)
	if err != nil {
		return nil, err
	}
	if have != want {
		return d, nil
	}
	if d.Ledger, err = ledger.Peek(ctx, d.write, d.read, dialect(), nil); err != nil {
		return nil, err
	}
	return d, nil
}

// Schema reads the version of the schema, 0 when there is none yet, and the one
// that this program knows.
func (d *DB) Schema(ctx context.Context) (have, want int64, err error) {
	return migration.Versions(ctx, d.read, database.DialectPostgres)
}

// Settings reads what the server's promises depend on.
func (d *DB) Settings(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	for _, name := range []string{"server_version", "server_version_num", "fsync", "full_page_writes", "max_connections", "server_encoding"} {
		var value string
		if err := d.read.QueryRowContext(ctx, `SELECT current_setting($1)`, name).Scan(&value); err != nil {
			return nil, fmt.Errorf("postgres: read the setting %s: %w", name, err)
		}
		out[name] = value
	}
	var standby bool
	var connections string
	// Counted as the server does it for the limit; the others are its own processes.
	err := d.read.QueryRowContext(ctx, `SELECT pg_is_in_recovery(), count(*)::text FROM pg_stat_activity WHERE backend_type = 'client backend'`).Scan(&standby, &connections)
	if err != nil {
		return nil, fmt.Errorf("postgres: count the connections: %w", err)
	}
	out["connections"] = connections
	if standby {
		out["standby"] = "on"
	}
	return out, nil
}

// impatient has a reader wait for the lock of a table, which a migration may hold,
// for no longer than that: there are few of them for all who read.
func impatient(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "SET lock_timeout = '3s'")
	return err
}

// connect opens the two pools, the first of them with proof. With serves they refuse a
// server that takes no writes.
func connect(ctx context.Context, url string, serves bool) (*DB, error) {
	conf, err := parse(url)
	if err != nil {
		return nil, fmt.Errorf("postgres: open ledger: %w", err)
	}
	if conf.RuntimeParams["application_name"] == "" {
		conf.RuntimeParams["application_name"] = "evalq"
	}
	if conf.ConnectTimeout == 0 {
		conf.ConnectTimeout = connectTimeout
	}
	d := &DB{Place: fmt.Sprintf("database %q on %s", conf.Database, conf.Host)}
	options := []stdlib.OptionOpenDB{stdlib.OptionBeforeConnect(func(_ context.Context, c *pgx.ConnConfig) error { renew(url, c); return nil })}
	if serves {
		options = append(options, serving(conf)...)
	}
	d.write = stdlib.OpenDB(*conf, options...)
	d.read = stdlib.OpenDB(*conf, append(options, stdlib.OptionAfterConnect(impatient))...)
	d.write.SetMaxOpenConns(ledger.WriteConns)
	d.write.SetConnMaxLifetime(lifetime)
	d.read.SetConnMaxLifetime(lifetime)
	d.read.SetMaxOpenConns(readers)
	d.read.SetMaxIdleConns(readers)
	d.read.SetConnMaxIdleTime(idleFor)
	if err := d.write.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("postgres: open ledger in %s: %w", d.Place, unreachable(err)), d.Close())
	}
	return d, nil
}
