package sqlite_test

import (
	"database/sql"
	"testing"
)

// raiseVersion pretends that a later program has migrated the file.
func raiseVersion(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`INSERT INTO evalq_schema (version_id, is_applied, tstamp) VALUES (99, 1, datetime('now'))`); err != nil {
		t.Fatal(err)
	}
}
