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

// Up applies what is missing, each step in a transaction of its own. A database
// that is newer than this program is left untouched and refused with ErrNewer.
func Up(ctx context.Context, db *sql.DB, dialect database.Dialect) error {
	store, err := database.NewStore(dialect, table)
	if err != nil {
		return fmt.Errorf("migration: %w", err)
	}
	// An empty dialect tells goose that the store brings its own.
	p, err := goose.NewProvider("", db, files, goose.WithStore(store), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("migration: %w", err)
	}
	have, err := p.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("migration: read version: %w", err)
	}
	sources := p.ListSources()
	if newest := sources[len(sources)-1].Version; have > newest {
		return fmt.Errorf("migration: schema %d, this program knows %d: %w", have, newest, ErrNewer)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migration: %w", err)
	}
	return nil
}
