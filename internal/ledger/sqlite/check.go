package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"

	"modernc.org/sqlite"
)

// ErrDamaged means that the ledger's file cannot be read as one.
var ErrDamaged = errors.New("the ledger's file is damaged: put a backup of it in its place with `evalq restore FILE --force`, which keeps the damaged one beside it; backups are made with `evalq backup FILE`")

const (
	magic = "SQLite format 3\x00"
	// smallest is the least that SQLite writes.
	smallest = 512
	// wholly is up to which size all pages of a file are looked at: about half a
	// second's work.
	wholly = 256 << 20
)

// SQLite's result codes for a file that is not as it should be.
const (
	codeCorrupt = 11
	codeNotADB  = 26
)

// damage is an ErrDamaged that says how it shows.
type damage struct{ sign string }

func (d *damage) Error() string        { return ErrDamaged.Error() + " (" + d.sign + ")" }
func (d *damage) Is(target error) bool { return target == ErrDamaged }

func damaged(format string, args ...any) error { return &damage{fmt.Sprintf(format, args...)} }

// explain tells damage from other failures of a database.
func explain(err error) error {
	var e *sqlite.Error
	if errors.As(err, &e) && (e.Code()&0xff == codeCorrupt || e.Code()&0xff == codeNotADB) && !errors.Is(err, ErrDamaged) {
		return damaged("%v", err)
	}
	return err
}

// checkHeader looks at the beginning of a file before SQLite does: SQLite takes a
// file without content for a new database. Known is the ledger that was in the
// folder before. A file that is not there is in order.
func checkHeader(path, known string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would wait for its writer
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return damaged("it is no regular file")
	}
	head := make([]byte, smallest)
	n, err := io.ReadFull(f, head)
	switch {
	case n == 0 && errors.Is(err, io.EOF):
		if known != "" {
			return damaged("it is empty, and ledger %s was in it", known)
		}
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF):
		return damaged("it is %d bytes long", n)
	case err != nil:
		return err
	case string(head[:len(magic)]) != magic:
		return damaged("it does not begin like a SQLite database")
	}
	return nil
}

// check refuses a database that is damaged, as far as little work can tell: by
// its length and the ends of each table, and in a file of moderate size by the
// structure of all its pages. It comes before anything of ours is written.
func check(ctx context.Context, db *sql.DB, path string) error {
	if err := checkEnds(ctx, db, path); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() > wholly {
		return err
	}
	return pragmaOK(ctx, db, `PRAGMA quick_check(1)`)
}

// checkKnown refuses a database without a ledger where one was before: what was
// written last is in the log beside the file, and without that log a young file is
// an empty one.
func checkKnown(ctx context.Context, db *sql.DB, known string) error {
	if known == "" {
		return nil
	}
	var n int
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_master WHERE name = 'evalq_meta'`).Scan(&n); err != nil {
		return err
	}
	if n == 0 {
		return damaged("it is empty, and ledger %s was in it", known)
	}
	return nil
}

// checkEnds is the part of check that costs the same for every size.
func checkEnds(ctx context.Context, db *sql.DB, path string) error {
	if err := checkLength(ctx, db, path); err != nil {
		return err
	}
	rows, err := db.QueryContext(ctx, `SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'evalq%'`)
	if err != nil {
		return err
	}
	tables, err := texts(rows)
	if err != nil {
		return err
	}
	for _, table := range tables {
		for _, end := range []string{"", " DESC"} {
			if err := readRow(ctx, db, `SELECT * FROM `+quote(table)+` ORDER BY rowid`+end+` LIMIT 1`); err != nil {
				return err
			}
		}
	}
	return nil
}

// quote makes an identifier of a name, whatever is in it.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// checkLength compares the length of the file with what its first page says.
// SQLite does so too, but for a file that was written by another program.
func checkLength(ctx context.Context, db *sql.DB, path string) error {
	// What is still in the log may be behind the end of the file.
	var busy, inLog, moved int64
	if err := db.QueryRowContext(ctx, `PRAGMA wal_checkpoint(PASSIVE)`).Scan(&busy, &inLog, &moved); err != nil {
		return err
	}
	var pages, size int64
	if err := errors.Join(
		db.QueryRowContext(ctx, `PRAGMA page_count`).Scan(&pages),
		db.QueryRowContext(ctx, `PRAGMA page_size`).Scan(&size),
	); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if inLog == moved && info.Size() < pages*size {
		return damaged("it is %d bytes long and should be %d", info.Size(), pages*size)
	}
	return nil
}

func readRow(ctx context.Context, db *sql.DB, query string) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	for rows.Next() {
		into := make([]any, len(columns))
		for i := range into {
			into[i] = new(sql.RawBytes)
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
	}
	return rows.Err()
}

// pragmaOK runs one of SQLite's checks, which answer "ok" or what is wrong.
func pragmaOK(ctx context.Context, db *sql.DB, pragma string) error {
	rows, err := db.QueryContext(ctx, pragma)
	if err != nil {
		return err
	}
	said, err := texts(rows)
	if err != nil {
		return err
	}
	if !slices.Equal(said, []string{"ok"}) {
		return damaged("%.200s", said)
	}
	return nil
}

func texts(rows *sql.Rows) ([]string, error) {
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}
