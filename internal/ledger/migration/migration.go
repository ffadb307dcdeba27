// Package migration holds the ledger's schema and brings a database up to it.
package migration

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

//go:embed *.sql
var files embed.FS

const table = "evalq_schema"

// ErrNewer means that the database was made by a newer version of evalq.
var ErrNewer = errors.New("the ledger was written by a newer version of evalq; start that version or a newer one")

// ErrOlder means that the database lacks steps that this program knows.
var ErrOlder = errors.New("the ledger's schema is older than this program; start `evalq serve` of this version once, which brings it up to date")

// Up applies what is missing, each step in a transaction of its own where the
// database has that. A database that is newer than this program is left
// untouched and refused with ErrNewer.
func Up(ctx context.Context, db *sql.DB, dialect database.Dialect) error {
	_, p, err := open(db, dialect)
	if err != nil {
		return err
	}
	have, err := p.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("migration: read version: %w", err)
	}
	if want := newest(p); have > want {
		return newer(have, want)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migration: %w", err)
	}
	return nil
}

// UpTo applies what is missing up to a version, to learn what the schema of that
// version is.
func UpTo(ctx context.Context, db *sql.DB, dialect database.Dialect, version int64) error {
	_, p, err := open(db, dialect)
	if err != nil {
		return err
	}
	if _, err := p.GetDBVersion(ctx); err != nil { // makes the table of versions
		return fmt.Errorf("migration: read version: %w", err)
	}
	if version == 0 {
		return nil
	}
	if _, err := p.UpTo(ctx, version); err != nil {
		return fmt.Errorf("migration: %w", err)
	}
	return nil
}

// Check refuses a database whose schema is not this program's, and changes
// nothing.
func Check(ctx context.Context, db *sql.DB, dialect database.Dialect) error {
	have, want, err := Versions(ctx, db, dialect)
	switch {
	case err != nil:
		return err
	case have > want:
		return newer(have, want)
	case have < want:
		return fmt.Errorf("migration: schema %d, this program knows %d: %w", have, want, ErrOlder)
	}
	return nil
}

// Versions reads the schema's version, 0 when there is none yet, and the one
// that this program knows. It changes nothing.
func Versions(ctx context.Context, db *sql.DB, dialect database.Dialect) (have, want int64, err error) {
	store, p, err := open(db, dialect)
	if err != nil {
		return 0, 0, err
	}
	want = newest(p)
	have, err = store.GetLatestVersion(ctx, db)
	if err == nil {
		return have, want, nil
	}
	if perr := db.PingContext(ctx); perr != nil {
		return 0, want, fmt.Errorf("migration: read version: %w", perr)
	}
	return 0, want, nil // the table is not there
}

func newer(have, want int64) error {
	return fmt.Errorf("migration: schema %d, this program knows %d: %w", have, want, ErrNewer)
}

func newest(p *goose.Provider) int64 {
	sources := p.ListSources()
	return sources[len(sources)-1].Version
}

func open(db *sql.DB, dialect database.Dialect) (database.Store, *goose.Provider, error) {
	store, err := database.NewStore(dialect, table)
	if err != nil {
		return nil, nil, fmt.Errorf("migration: %w", err)
	}
	// An empty dialect tells goose that the store brings its own.
	p, err := goose.NewProvider("", db, spoken{files, byDialect[dialect]}, goose.WithStore(store), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, nil, fmt.Errorf("migration: %w", err)
	}
	return store, p, nil
}
