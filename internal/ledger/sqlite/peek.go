package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/pressly/goose/v3/database"

	"evalq/internal/ledger"
	"evalq/internal/ledger/migration"
)

// Peek opens the ledger in a folder as it is, to look at it: nothing is made,
// brought up to date or given up for lost. A folder that a server owns is only
// read, and DB.InUse is set. Any other can be written, to see whether it can; it
// is not kept from a server that starts meanwhile, since SQLite's own locks are
// enough for that. DB.Ledger is nil when the schema is not this program's. A
// ledger that does not exist yet is fs.ErrNotExist.
func Peek(ctx context.Context, dir string) (_ *DB, err error) {
	d := &DB{dir: dir, path: filepath.Join(dir, fileName)}
	defer func() {
		if err != nil {
			_ = d.Close()
			err = fmt.Errorf("sqlite: look at the ledger in %q: %w", dir, err)
		}
	}()
	if _, err := os.Stat(d.path); err != nil {
		return nil, err
	}
	known := ""
	if d.InUse, known, err = inUse(dir); err != nil {
		return nil, err
	}
	mode := "ro"
	if !d.InUse {
		// What a start refuses is no ledger that is still to be made.
		if err := checkHeader(d.path, known); err != nil {
			return nil, err
		}
		mode = "rw" // a reader too may have to take in the log that a crash left
		if d.write, err = sql.Open("sqlite", peekDSN(d.path, mode)); err != nil {
			return nil, err
		}
		d.write.SetMaxOpenConns(1)
	}
	if d.read, err = sql.Open("sqlite", peekDSN(d.path, mode)+"&_pragma=query_only(1)"); err != nil {
		return nil, err
	}
	d.read.SetMaxOpenConns(readers)
	have, want, err := d.Schema(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkKnown(ctx, d.read, known); err != nil {
		return nil, explain(err)
	}
	if have != want {
		return d, nil
	}
	if err := checkSchema(ctx, d.read); err != nil {
		return nil, explain(err)
	}
	if d.Ledger, err = ledger.Peek(ctx, d.write, d.read, dialect(), nil); err != nil {
		return nil, explain(err)
	}
	return d, nil
}

// inUse reports whether another process owns the folder, and else which ledger was
// in it last.
func inUse(dir string) (owned bool, known string, err error) {
	lock, err := lockDir(dir)
	if errors.Is(err, ErrInUse) {
		return true, "", nil
	}
	if err != nil {
		return false, "", err
	}
	return false, lastLedger(lock), lock.Close()
}

// peekDSN opens a file that is there, and makes none.
func peekDSN(path, mode string) string {
	q := url.Values{"mode": {mode}, "_pragma": append([]string{"busy_timeout(2000)"}, untrusted...)}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

// Schema reads the version of the file's schema, 0 when there is none yet, and the
// one that this program knows.
func (d *DB) Schema(ctx context.Context) (have, want int64, err error) {
	var n int
	// Asked for a version, a file that is no database looks as if it had none.
	if err := d.read.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_master`).Scan(&n); err != nil {
		return 0, 0, explain(err)
	}
	if err := checkTables(ctx, d.read); err != nil {
		return 0, 0, explain(err)
	}
	have, want, err = migration.Versions(ctx, d.read, database.DialectSQLite3)
	return have, want, explain(err)
}

// Settings is the path of the file. There is nothing else to set.
func (d *DB) Settings(context.Context) (map[string]string, error) {
	return map[string]string{"file": d.path}, nil
}

// QuickCheck reads the whole file and names what is broken in it.
func (d *DB) QuickCheck(ctx context.Context) (string, error) {
	rows, err := d.read.QueryContext(ctx, `PRAGMA quick_check(3)`)
	if err != nil {
		return "", explain(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return "", explain(err)
		}
		if line != "ok" {
			out = append(out, line)
		}
	}
	return strings.Join(out, "; "), explain(rows.Err())
}
