package sqlite

import (
	"context"
	"database/sql"
	"testing"

	"github.com/pressly/goose/v3/database"

	"evalq/internal/ledger/migration"
)

// CheckEnds is what is done to a file that is too large to be looked at wholly.
var CheckEnds = checkEnds

// StartCopy holds a backup under way until end.
func (d *DB) StartCopy() (end func()) {
	d.copying.Lock()
	return d.copying.Unlock
}

// OlderLedger makes a file whose schema has a version, and answers the newest one.
func OlderLedger(t *testing.T, path string, version int64) (newest int64) {
	t.Helper()
	db, err := sql.Open("sqlite", dsn(path, false))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx := context.Background()
	if err := migration.UpTo(ctx, db, database.DialectSQLite3, version); err != nil {
		t.Fatal(err)
	}
	_, newest, err = migration.Versions(ctx, db, database.DialectSQLite3)
	if err != nil {
		t.Fatal(err)
	}
	return newest
}
