// Package mysql opens a ledger in a database of MySQL 8 or MariaDB from 10.6 on,
// which many processes may share: the platform's own, if that is what it has.
package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3/database"

	"evalq/internal/ledger"
	"evalq/internal/ledger/migration"
	"evalq/internal/mysqlconn"
)

// readers bounds the connections that read beside the one that writes.
const readers = 8

// idleFor is how long one of them is kept that nobody uses. When the server has
// gone without a word, each that is left takes a read to find out.
const idleFor = 20 * time.Second

// DB is an open ledger and its connections.
type DB struct {
	*ledger.Ledger
	Place       string // the database and where it is, without secrets
	write, read *sql.DB
}

// tune sets what the ledger rests on, whatever the URL says: a count of rows that
// were met, not only of those that differ; every byte of a text; an error in
// place of a cut value.
func tune(cfg *mysql.Config) {
	cfg.ClientFoundRows, cfg.MultiStatements, cfg.InterpolateParams = true, false, false
	cfg.Collation = "utf8mb4_bin"
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.Params == nil {
		cfg.Params = map[string]string{}
	}
	cfg.Params["sql_mode"] = "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"
	cfg.Logger = &mysql.NopLogger{}
}

// Open connects to a mysql:// URL; see package mysqlurl. With migrate it brings the schema
// up to date, one process at a time; without, the schema must be there. The
// tables are named evalq_…. How durable a commit is, the server decides: leave
// innodb_flush_log_at_trx_commit at 1. No error has a password in it.
func Open(ctx context.Context, raw string, migrate bool, cfg *ledger.Config) (_ *DB, err error) {
	d, err := connect(ctx, raw, true)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("mysql: open ledger in %s: %w", d.Place, err), d.Close())
		}
	}()
	if migrate {
		err = locked(ctx, d.write, func() error { return migration.Up(ctx, d.write, database.DialectMySQL) })
	} else {
		err = migration.Check(ctx, d.write, database.DialectMySQL)
	}
	if err != nil {
		return nil, err
	}
	// The writer keeps its connection; one that idles beside it would only be
	// found broken when it is needed.
	d.write.SetMaxIdleConns(0)
	d.Ledger, err = ledger.New(ctx, d.write, d.read, dialect(), cfg)
	return d, err
}

func dialect() ledger.Dialect {
	d := ledger.MySQL()
	d.Fault = mysqlconn.Fault
	return d
}

// locked runs do while no other process does.
func locked(ctx context.Context, db *sql.DB, do func() error) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	var got sql.NullInt64
	if err := conn.QueryRowContext(ctx, `SELECT GET_LOCK(CONCAT('evalq.', DATABASE()), 60)`).Scan(&got); err != nil || got.Int64 != 1 {
		return fmt.Errorf("wait for the lock of migrations: another process has held it for a minute: %w", err)
	}
	err = do()
	_, uerr := conn.ExecContext(context.WithoutCancel(ctx), `DO RELEASE_LOCK(CONCAT('evalq.', DATABASE()))`)
	return errors.Join(err, uerr)
}

// Close waits for the writes under way and closes the connections.
func (d *DB) Close() error {
	if d.Ledger != nil {
		d.Ledger.Close()
	}
	var errs []error
	for _, db := range []*sql.DB{d.read, d.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}
