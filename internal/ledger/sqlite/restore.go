package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/pressly/goose/v3/database"

	"evalq/internal/folder"
	"evalq/internal/ledger"
	"evalq/internal/ledger/migration"
	"evalq/tasks"
)

var (
	// ErrUnfit means that a file is not a healthy ledger of evalq.
	ErrUnfit = errors.New("it is not a healthy backup of a ledger")
	// ErrOccupied means that a ledger is in the place of the one to put back.
	ErrOccupied = errors.New("there is a ledger in the data folder already: move it away, or let --force keep it beside the restored one")
)

// Info says what a copy of a ledger is.
type Info struct {
	Ledger string    // its id
	Schema int64     // its version
	Jobs   int       // that are in it
	Newest time.Time // acceptance among them; zero without jobs
	Bytes  int64
	// Kept is where Restore has put the ledger that was there, or empty.
	Kept string
}

// Inspect reads a copy that nobody writes to, all of it, and says what it is. A
// file that is not a healthy ledger is ErrUnfit, one of a newer program
// migration.ErrNewer. It changes nothing.
func Inspect(ctx context.Context, path string) (Info, error) {
	info, err := inspect(ctx, path, url.Values{"mode": {"ro"}, "immutable": {"1"}, "_pragma": untrusted}, nil)
	if err != nil {
		return Info{}, fmt.Errorf("sqlite: inspect %q: %w", path, err)
	}
	return info, nil
}

// inspect opens a copy, looks at all of it, and then does what is to be done to
// it.
func inspect(ctx context.Context, path string, options url.Values, do func(*sql.DB) error) (info Info, err error) {
	stat, err := os.Stat(path)
	if err != nil {
		return Info{}, err
	}
	if !stat.Mode().IsRegular() || stat.Size() == 0 {
		return Info{}, fmt.Errorf("%w: there is nothing in it", ErrUnfit)
	}
	if err := checkHeader(path, ""); err != nil {
		return Info{}, unfit(err)
	}
	db, err := sql.Open("sqlite", fileURL(path, options))
	if err != nil {
		return Info{}, err
	}
	db.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := checkTables(ctx, db); err != nil {
		return Info{}, unfit(err)
	}
	have, want, err := migration.Versions(ctx, db, database.DialectSQLite3)
	switch {
	case err != nil:
		return Info{}, err
	case have == 0:
		return Info{}, fmt.Errorf("%w: it is a SQLite database of something else", ErrUnfit)
	case have > want:
		return Info{}, fmt.Errorf("schema %d, this program knows %d: %w", have, want, migration.ErrNewer)
	}
	// The schema comes first, because a check of the pages runs its expressions.
	if err := checkSchema(ctx, db); err != nil {
		return Info{}, unfit(err)
	}
	if err := pragmaOK(ctx, db, `PRAGMA integrity_check(1)`); err != nil {
		return Info{}, unfit(err)
	}
	info = Info{Schema: have}
	var newest int64
	if err := errors.Join(
		db.QueryRowContext(ctx, `SELECT value FROM evalq_meta WHERE name = 'ledger_id'`).Scan(&info.Ledger),
		db.QueryRowContext(ctx, `SELECT count(*), coalesce(max(accepted_at), 0) FROM evalq_jobs`).Scan(&info.Jobs, &newest),
	); err != nil {
		return Info{}, unfit(err)
	}
	if !tasks.ValidID(info.Ledger) {
		return Info{}, fmt.Errorf("%w: the id of its ledger has another form", ErrUnfit)
	}
	if newest > 0 {
		info.Newest = time.UnixMilli(newest).UTC()
	}
	if do != nil {
		err = do(db)
	}
	info.Bytes = stat.Size()
	return info, err
}

// unfit says of a copy what ErrDamaged would say of a ledger.
func unfit(err error) error {
	var d *damage
	if errors.As(err, &d) {
		return fmt.Errorf("%w: %s", ErrUnfit, d.sign)
	}
	var f *foreignSchema
	if errors.As(err, &f) {
		return fmt.Errorf("%w: its schema is not the one that evalq makes: %s", ErrUnfit, f.differences)
	}
	return fmt.Errorf("%w: %w", ErrUnfit, err)
}

// Restore puts a copy in the place of the ledger of a folder that no process
// uses. The copy is checked first and stays where it is. A ledger that is there
// is refused with ErrOccupied, or with force kept beside the new one. A log that
// lies beside the copy, as after a crash, is taken along.
//
// The ledger then says of itself that it was restored; see ledger.Restored.
func Restore(ctx context.Context, file, dir string, force bool, now time.Time) (info Info, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("sqlite: restore %q into %q: %w", file, dir, err)
		}
	}()
	if _, err := os.Stat(file); err != nil {
		return Info{}, err
	}
	if err := folder.Make(dir); err != nil {
		return Info{}, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return Info{}, err
	}
	defer lock.Close()
	path := filepath.Join(dir, fileName)
	if there, err := os.Stat(path); err == nil && there.Size() > 0 && !force {
		return Info{}, ErrOccupied
	}
	fresh := filepath.Join(dir, "restore.partial")
	if err := removeFiles(fresh); err != nil { // of a restoration that was cut off
		return Info{}, err
	}
	defer func() { err = errors.Join(err, removeFiles(fresh)) }()
	if err := copyLedger(ctx, file, fresh); err != nil {
		return Info{}, err
	}
	// Out of the log mode, so that the file is all there is.
	info, err = inspect(ctx, fresh, url.Values{"_pragma": append([]string{"busy_timeout(10000)"}, untrusted...)}, func(db *sql.DB) error {
		if _, err := db.ExecContext(ctx, `INSERT OR REPLACE INTO evalq_meta (name, value) VALUES (?, ?)`, ledger.RestoredMark, strconv.FormatInt(now.UnixMilli(), 10)); err != nil {
			return err
		}
		_, err := db.ExecContext(ctx, `PRAGMA journal_mode = DELETE`)
		return err
	})
	if err != nil {
		return Info{}, err
	}
	if err := syncFile(fresh); err != nil {
		return Info{}, err
	}
	if info.Kept, err = setAside(path, now); err != nil {
		return Info{}, err
	}
	if err := os.Rename(fresh, path); err != nil {
		return Info{}, err
	}
	return info, syncFile(dir)
}

// removeFiles removes a database's files, as far as they are there.
func removeFiles(path string) (err error) {
	for _, end := range fileEnds {
		if rerr := os.Remove(path + end); !errors.Is(rerr, os.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}
	return err
}

// fileEnds are what the names of a database's files end in.
var fileEnds = []string{"", "-wal", "-shm"}

// setAside moves away what is in the place of a ledger, its log too: a log of
// another file would be taken for the new one's. It answers where to, if there
// was anything.
func setAside(path string, now time.Time) (string, error) {
	aside := path + ".before-" + now.UTC().Format("20060102T150405Z")
	kept := ""
	for _, end := range fileEnds {
		switch err := os.Rename(path+end, aside+end); {
		case err == nil:
			kept = aside
		case !errors.Is(err, os.ErrNotExist):
			return "", err
		}
	}
	return kept, nil
}

// syncFile sees to it that a file, or the names in a folder, outlive a loss of
// power.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
