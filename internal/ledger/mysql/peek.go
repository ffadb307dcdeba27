package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pressly/goose/v3/database"

	"evalq/internal/ledger"
	"evalq/internal/ledger/migration"
	"evalq/internal/mysqlconn"
	"evalq/internal/mysqlurl"
)

// Peek connects like Open and takes the database as it is, to look at it: nothing
// is made or brought up to date. DB.Ledger is nil when the schema is not this
// program's.
func Peek(ctx context.Context, raw string) (_ *DB, err error) {
	d, err := connect(ctx, raw, false)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("mysql: look at the ledger in %s: %w", d.Place, err), d.Close())
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
	return migration.Versions(ctx, d.read, database.DialectMySQL)
}

// Settings reads what the server's promises depend on.
func (d *DB) Settings(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	for _, name := range []string{"version", "innodb_flush_log_at_trx_commit", "log_bin", "sync_binlog", "max_connections", "read_only"} {
		var value string
		if err := d.read.QueryRowContext(ctx, `SELECT @@GLOBAL.`+name).Scan(&value); err != nil {
			return nil, fmt.Errorf("mysql: read the setting %s: %w", name, err)
		}
		out[name] = value
	}
	for _, name := range []string{"max_allowed_packet", "binlog_format"} { // which not each version has
		var value string
		if err := d.read.QueryRowContext(ctx, `SELECT @@GLOBAL.`+name).Scan(&value); err == nil {
			out[name] = value
		}
	}
	var name, connections string
	if err := d.read.QueryRowContext(ctx, `SHOW GLOBAL STATUS LIKE 'Threads_connected'`).Scan(&name, &connections); err != nil {
		return nil, fmt.Errorf("mysql: count the connections: %w", err)
	}
	out["connections"] = connections
	return out, nil
}

// connect opens the two pools, the first of them with proof. With serving they refuse a
// server that takes no writes.
func connect(ctx context.Context, raw string, serving bool) (*DB, error) {
	conf, err := mysqlurl.Parse(raw)
	if err != nil {
		return nil, err
	}
	tune(conf)
	d := &DB{Place: fmt.Sprintf("database %q on %s", conf.DBName, conf.Addr)}
	connector, err := mysqlconn.New(conf, serving)
	if err != nil {
		return nil, fmt.Errorf("mysql: open ledger in %s: %w", d.Place, err)
	}
	// A reader waits for the lock of a table, which a migration may hold, for no
	// longer than that: there are few of them for all who read.
	conf.Params["lock_wait_timeout"] = "3"
	reading, err := mysqlconn.New(conf, serving)
	if err != nil {
		return nil, fmt.Errorf("mysql: open ledger in %s: %w", d.Place, err)
	}
	d.write, d.read = sql.OpenDB(connector), sql.OpenDB(reading)
	d.write.SetMaxOpenConns(ledger.WriteConns)
	d.write.SetConnMaxLifetime(mysqlconn.Lifetime)
	d.read.SetConnMaxLifetime(mysqlconn.Lifetime)
	d.read.SetMaxOpenConns(readers)
	d.read.SetMaxIdleConns(readers)
	d.read.SetConnMaxIdleTime(idleFor)
	if err := d.write.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("mysql: open ledger in %s: connect: %w", d.Place, err), d.Close())
	}
	return d, nil
}
