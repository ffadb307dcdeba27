package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"evalq/internal/ledger"
)

// copies are what Backup leaves behind when the process is killed meanwhile.
const copies = "backup-*.partial"

// Backup copies the ledger as it is at one moment, while writes go on, and
// answers the copy as an open file without a name, which is gone when it is
// closed. It needs as much room in the data folder as the ledger takes. One copy
// is made at a time; the second caller gets ledger.ErrBackingUp. The copy is one file,
// compact, and in it is nothing of what was removed.
func (d *DB) Backup(ctx context.Context) (_ *os.File, err error) {
	if !d.copying.TryLock() {
		return nil, fmt.Errorf("sqlite: back up: %w", ledger.ErrBackingUp)
	}
	defer d.copying.Unlock()
	// SQLite writes into an empty file that is there, and leaves its mode alone.
	f, err := os.CreateTemp(d.dir, copies)
	if err != nil {
		return nil, fmt.Errorf("sqlite: back up: %w", err)
	}
	defer func() {
		err = errors.Join(err, os.Remove(f.Name()))
		if err != nil {
			err = fmt.Errorf("sqlite: back up: %w", errors.Join(err, f.Close()))
		}
	}()
	err = d.apart(ctx, func(db *sql.DB) error {
		_, err := db.ExecContext(ctx, `VACUUM INTO ?`, f.Name())
		return err
	})
	if err != nil {
		return nil, explain(err)
	}
	return f, nil
}

// Scrub makes what was removed unreadable: SQLite overwrites it in the file, and
// the log, which still has it, is emptied. That fails while something reads for
// long, such as Backup.
func (d *DB) Scrub(ctx context.Context) error {
	err := d.apart(ctx, func(db *sql.DB) error {
		// While it waits for readers, nobody can write.
		if _, err := db.ExecContext(ctx, `PRAGMA busy_timeout = 500`); err != nil {
			return err
		}
		var busy, inLog, moved int
		if err := db.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &inLog, &moved); err != nil {
			return err
		}
		if busy != 0 {
			return errors.New("the log is in use")
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("sqlite: empty the log: %w", err)
	}
	return nil
}

// apart runs f on a connection that is neither the writer's nor a reader's.
func (d *DB) apart(ctx context.Context, f func(*sql.DB) error) error {
	db, err := sql.Open("sqlite", dsn(d.path, false))
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	return errors.Join(f(db), db.Close())
}

// clean removes what an earlier process left behind while it made a copy.
func clean(dir string) error {
	left, err := fs.Glob(os.DirFS(dir), copies) // the folder's own name may have signs of a pattern in it
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range left {
		errs = append(errs, os.Remove(filepath.Join(dir, name)))
	}
	return errors.Join(errs...)
}
