package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/pressly/goose/v3/database"

	"evalq/internal/ledger/migration"
)

// ErrForeignSchema means that a file has tables, columns, indexes, views or triggers
// that evalq did not make, or lacks some that it made. SQLite runs what a schema
// contains while it reads and writes, so such a file is not served.
var ErrForeignSchema = errors.New("the schema of the ledger's file is not the one that evalq makes: put a backup in its place with `evalq restore FILE --force`, which keeps this file beside it; keep tables and indexes of your own in another file")

// foreignSchema is an ErrForeignSchema that says what differs.
type foreignSchema struct{ differences string }

func (f *foreignSchema) Error() string        { return ErrForeignSchema.Error() + " (" + f.differences + ")" }
func (f *foreignSchema) Is(target error) bool { return target == ErrForeignSchema }

// object is one entry of a schema: a table, an index, a view or a trigger.
type object struct{ kind, name string }

func (o object) String() string { return fmt.Sprintf("%s %.64q", o.kind, o.name) }

// schema has the definition of each object as SQLite keeps it. Indexes that SQLite
// makes for a UNIQUE have an empty one.
type schema map[object]string

// checkSchema compares the schema of a file with the one that the migrations make
// up to its version, and answers ErrForeignSchema with what differs. It runs nothing
// of the schema. A file without any object is a new one and passes.
func checkSchema(ctx context.Context, db *sql.DB) error {
	have, err := readSchema(ctx, db)
	if err != nil || len(have) == 0 {
		return err
	}
	if err := have.onlyTables(); err != nil {
		return err
	}
	version, newest, err := migration.Versions(ctx, db, database.DialectSQLite3)
	if err != nil {
		return err
	}
	if version > newest {
		return nil // the caller refuses it for that reason
	}
	want, err := expectedSchema(version)
	if err != nil {
		return err
	}
	diff := have.differences(want)
	if len(diff) == 0 {
		return nil
	}
	return &foreignSchema{shorten(diff)}
}

// checkTables refuses a file with anything but plain tables and indexes. It comes
// before the first table is read, because reading a view runs it.
func checkTables(ctx context.Context, db *sql.DB) error {
	have, err := readSchema(ctx, db)
	if err != nil {
		return err
	}
	return have.onlyTables()
}

func (s schema) onlyTables() error {
	var diff []string
	for _, o := range sorted(s) {
		if o.kind != "index" && (o.kind != "table" || !strings.HasPrefix(s[o], "CREATE TABLE ")) {
			diff = append(diff, o.String()+" was added")
		}
	}
	if len(diff) == 0 {
		return nil
	}
	return &foreignSchema{shorten(diff)}
}

// maxDifferences bounds how many an error names.
const maxDifferences = 5

func shorten(diff []string) string {
	if more := len(diff) - maxDifferences; more > 0 {
		diff = append(slices.Clone(diff[:maxDifferences]), fmt.Sprintf("and %d more", more))
	}
	return strings.Join(diff, "; ")
}

// differences names what s has and want has not, and the reverse.
func (s schema) differences(want schema) []string {
	var out []string
	for _, o := range sorted(s) {
		definition, known := want[o]
		switch {
		case !known && !o.statistics(s[o]):
			out = append(out, o.String()+" was added")
		case known && definition != s[o]:
			out = append(out, o.String()+" differs: "+firstDifference(s[o], definition))
		}
	}
	for _, o := range sorted(want) {
		if _, there := s[o]; !there {
			out = append(out, o.String()+" is missing")
		}
	}
	return out
}

func sorted(s schema) []object {
	return slices.SortedFunc(maps.Keys(s), func(a, b object) int {
		return cmp.Or(strings.Compare(a.kind, b.kind), strings.Compare(a.name, b.name))
	})
}

// statistics reports whether the object is one of the tables that ANALYZE makes.
func (o object) statistics(definition string) bool {
	return o.kind == "table" && (o.name == "sqlite_stat1" && definition == "CREATE TABLE sqlite_stat1(tbl,idx,stat)" ||
		o.name == "sqlite_stat4" && definition == "CREATE TABLE sqlite_stat4(tbl,idx,neq,nlt,ndlt,sample)")
}

// firstDifference quotes where two definitions part, which names the column.
func firstDifference(have, want string) string {
	n := 0
	for n < len(have) && n < len(want) && have[n] == want[n] {
		n++
	}
	return fmt.Sprintf("it has %.40q where %.40q belongs", have[n:], want[n:])
}

func readSchema(ctx context.Context, db *sql.DB) (schema, error) {
	rows, err := db.QueryContext(ctx, `SELECT type, name, coalesce(sql, '') FROM sqlite_master`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := schema{}
	for rows.Next() {
		var o object
		var definition string
		if err := rows.Scan(&o.kind, &o.name, &definition); err != nil {
			return nil, err
		}
		if _, twice := out[o]; twice {
			return nil, damaged("%s is in it twice", o)
		}
		out[o] = strings.TrimSpace(definition)
	}
	return out, rows.Err()
}

var expected struct {
	sync.Mutex
	byVersion map[int64]schema
}

// expectedSchema is what the migrations up to a version make. It is computed once a
// version in a database in memory.
func expectedSchema(version int64) (schema, error) {
	expected.Lock()
	defer expected.Unlock()
	if s, ok := expected.byVersion[version]; ok {
		return s, nil
	}
	ctx := context.Background() // the result is kept for later callers
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if err := migration.UpTo(ctx, db, database.DialectSQLite3, version); err != nil {
		return nil, err
	}
	s, err := readSchema(ctx, db)
	if err != nil {
		return nil, err
	}
	if expected.byVersion == nil {
		expected.byVersion = map[int64]schema{}
	}
	expected.byVersion[version] = s
	return s, nil
}
