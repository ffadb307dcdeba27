// Package sqlite opens a ledger in one SQLite file, for one process.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/pressly/goose/v3/database"
	_ "modernc.org/sqlite" // the driver

	"evalq/internal/folder"
	"evalq/internal/ledger"
	"evalq/internal/ledger/migration"
)

// ErrInUse means that another process owns the data folder.
var ErrInUse = errors.New("the data folder is in use by another evalq process; stop it, or choose another folder with --data-dir")

const (
	fileName = "evalq.db"
	lockName = "evalq.lock"
)

// readers is how many reads may run beside the writer.
const readers = 4

// DB is an open ledger and what it rests on.
type DB struct {
	*ledger.Ledger
	// Lost is how many attempts the process before left behind.
	Lost int
	// InUse is set by Peek when another process owns the folder.
	InUse       bool
	dir, path   string
	write, read *sql.DB
	lock        *os.File
	copying     sync.Mutex
}

// Open takes a folder, which it creates (mode 0700: answers are personal data)
// and locks for the life of the process, and brings the file in it up to date.
// The lock ends with the process, also with SIGKILL.
//
// The file is in WAL mode with synchronous=FULL: what was committed survives
// the loss of power. A file that is damaged is refused with ErrDamaged.
func Open(ctx context.Context, dir string, cfg *ledger.Config) (_ *DB, err error) {
	d := &DB{dir: dir}
	defer func() {
		if err != nil {
			_ = d.Close()
			err = fmt.Errorf("sqlite: open ledger in %q: %w", dir, explain(err))
		}
	}()
	if err := folder.Make(dir); err != nil {
		return nil, err
	}
	if d.lock, err = lockDir(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, fileName)
	d.path = path
	for _, end := range fileEnds {
		if err := folder.CheckFile(path + end); err != nil {
			return nil, err
		}
	}
	known := lastLedger(d.lock)
	if err := errors.Join(checkHeader(path, known), clean(dir)); err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		known = "" // who removes the file means it
	}
	if err := private(path); err != nil {
		return nil, err
	}
	if d.write, err = sql.Open("sqlite", dsn(path, false)); err != nil {
		return nil, err
	}
	d.write.SetMaxOpenConns(1)
	// The schema comes first: the other checks run what is in it.
	if err := checkSchema(ctx, d.write); err != nil {
		return nil, err
	}
	if err := errors.Join(check(ctx, d.write, path), checkKnown(ctx, d.write, known)); err != nil {
		return nil, err
	}
	if err := migration.Up(ctx, d.write, database.DialectSQLite3); err != nil {
		return nil, err
	}
	if d.read, err = sql.Open("sqlite", dsn(path, true)); err != nil {
		return nil, err
	}
	d.read.SetMaxOpenConns(readers)
	d.read.SetMaxIdleConns(readers)
	d.Ledger, err = ledger.New(ctx, d.write, d.read, dialect(), cfg)
	if err != nil {
		return nil, err
	}
	// Whatever ran in this file ran in a process that is gone: the lock says so.
	if d.Lost, err = d.BuryAll(ctx); err != nil {
		return nil, err
	}
	if err := noteLedger(d.lock, d.ID()); err != nil {
		return nil, err
	}
	return d, nil
}

// Close waits for the writes under way and lets the folder go.
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
	if d.lock != nil {
		errs = append(errs, d.lock.Close())
	}
	return errors.Join(errs...)
}

// private makes the file, empty if it is new, readable by its owner only; SQLite
// gives its journal the same mode.
func private(path string) error {
	f, err := folder.OpenFile(path, os.O_CREATE|os.O_RDWR)
	if err != nil {
		return fmt.Errorf("%w: choose a folder that can be written with --data-dir", err)
	}
	return errors.Join(f.Chmod(0o600), f.Close())
}

// untrusted are settings for every connection: functions and virtual tables that a
// schema names are not run, and the cells of each page that is read are checked.
var untrusted = []string{"trusted_schema(OFF)", "cell_size_check(1)"}

// dsn has SQLite overwrite what is deleted or replaced: it may be somebody's
// answer.
func dsn(path string, readOnly bool) string {
	q := url.Values{}
	for _, p := range append([]string{
		"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "secure_delete(1)", "temp_store(MEMORY)",
	}, untrusted...) {
		q.Add("_pragma", p)
	}
	if readOnly {
		q.Add("_pragma", "cache_size(-8000)")
		q.Add("_pragma", "query_only(1)")
	} else {
		// Under load the same pages of the indexes are written again and again:
		// they are kept, and go from the journal into the file once for many
		// commits. The journal grows to 16 MB.
		q.Add("_pragma", "cache_size(-32000)")
		q.Add("_pragma", "wal_autocheckpoint(4000)")
	}
	return fileURL(path, q)
}

func fileURL(path string, options url.Values) string {
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: options.Encode()}).String()
}

func lockDir(dir string) (*os.File, error) {
	f, err := folder.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR)
	if err != nil {
		return nil, fmt.Errorf("%w: choose a folder that can be written with --data-dir", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrInUse
		}
		return nil, fmt.Errorf("lock: %w", err)
	}
	return f, nil
}

// lastLedger is the id of the ledger that was opened last under a lock, or empty.
func lastLedger(lock *os.File) string {
	id := make([]byte, 64)
	n, _ := lock.ReadAt(id, 0)
	return strings.TrimSpace(string(id[:n]))
}

// noteLedger writes it down, so that a file that has lost everything is not taken
// for a new one.
func noteLedger(lock *os.File, id string) error {
	if lastLedger(lock) == id {
		return nil
	}
	if err := lock.Truncate(0); err != nil {
		return fmt.Errorf("note the ledger's id: %w", err)
	}
	if _, err := lock.WriteAt([]byte(id+"\n"), 0); err != nil {
		return fmt.Errorf("note the ledger's id: %w", err)
	}
	return nil
}
