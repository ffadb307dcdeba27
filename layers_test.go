package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rooms says for every package of this module which others its own files may
// import. It is the picture in docs/design.md: imports go down only, and
// neighbours on a row do not import each other.
var rooms = map[string][]string{
	// composition
	".":               {"internal/cli"},
	"internal/cli":    {"internal/app", "internal/bench", "internal/chaos", "internal/config", "internal/doctor", "internal/logwriter", "client", "internal/evaluation", "tasks", "worker"},
	"internal/app":    {"internal/config", "internal/folder", "internal/mysqlurl", "internal/api", "dashboard", "mq", "client", "worker", "internal/relay", "internal/doctor", "internal/ledger", "internal/ledger/sqlite", "internal/ledger/postgres", "internal/ledger/mysql", "internal/platform", "internal/rubric", "internal/redisconn", "internal/engine", "internal/httpserve", "internal/service", "internal/view", "internal/evaluation", "samples", "tasks"},
	"internal/bench":  {"internal/config", "internal/api", "client", "mq", "internal/ledger", "internal/ledger/sqlite", "internal/ledger/postgres", "internal/ledger/mysql", "internal/sandbox", "internal/rubric", "internal/evaluation", "tasks"},
	"internal/chaos":  {"client", "worker", "internal/sandbox", "internal/evaluation", "tasks"},
	"server":          {"internal/app", "internal/config", "worker", "tasks"},
	"internal/config": {"internal/mysqlurl", "internal/zone", "internal/redisconn", "tasks"},
	// edges
	"internal/api": {"client", "worker", "internal/view", "internal/evaluation", "internal/redisconn", "tasks"},
	"dashboard":    {"client", "worker", "internal/evaluation", "internal/httpserve", "internal/redisconn", "internal/secret", "tasks"},
	"mq":           {"client", "worker", "internal/fault", "internal/redisconn", "tasks"},
	// queue
	"client":          {"internal/ledger", "internal/ledger/migration", "internal/ledger/mysql", "internal/ledger/postgres", "internal/redisconn", "internal/view", "internal/evaluation", "tasks"},
	"worker":          {"internal/redisconn", "tasks"},
	"internal/relay":  {"internal/ledger", "internal/redisconn", "tasks"},
	"internal/doctor": {"internal/folder", "internal/redisconn", "internal/secret", "tasks"},
	// adapters
	"internal/ledger":           {"internal/dberror", "internal/evaluation", "tasks"},
	"internal/ledger/sqlite":    {"internal/dberror", "internal/folder", "internal/ledger", "internal/ledger/migration", "tasks"},
	"internal/ledger/postgres":  {"internal/dberror", "internal/ledger", "internal/ledger/migration"},
	"internal/ledger/mysql":     {"internal/dberror", "internal/ledger", "internal/ledger/migration", "internal/mysqlconn", "internal/mysqlurl"},
	"internal/ledger/migration": {},
	"internal/platform":         {"internal/dberror", "internal/mysqlconn", "internal/mysqlurl", "internal/zone", "internal/evaluation", "tasks"},
	"internal/rubric":           {"internal/evaluation", "tasks"},
	"internal/redisconn":        {"internal/tlsfiles", "tasks"},
	"internal/engine":           {"internal/folder", "tasks"},
	"internal/httpserve":        {},
	"internal/service":          {"tasks"},
	"internal/logwriter":        {},
	"internal/view":             {"internal/evaluation", "tasks"},
	"internal/sandbox":          {},
	"samples":                   {"internal/evaluation", "tasks"},
	// domain and vocabulary
	"internal/evaluation": {"tasks"},
	"tasks":               {},
	"internal/mysqlurl":   {"internal/tlsfiles", "internal/zone"},
	"internal/mysqlconn":  {"internal/dberror"},
	"internal/dberror":    {},
	"internal/tlsfiles":   {},
	"internal/folder":     {},
	"internal/secret":     {},
	"internal/zone":       {},
	"internal/fault":      {"tasks"},
	// imported by tests only
	"internal/ledger/ledgertest":     {"internal/ledger", "internal/evaluation", "tasks"},
	"internal/platform/platformtest": {"internal/mysqlurl"},
	"internal/redistest":             {},
	"internal/sqltest":               {"internal/sandbox"},
	"internal/tlstest":               {},
	"internal/asynqtest":             {},
	"internal/e2e":                   {},
	"mq/mqtest":                      {"mq", "tasks"},
}

// forTests are the rooms that only test files may import.
var forTests = []string{"internal/ledger/ledgertest", "internal/platform/platformtest", "internal/redistest", "internal/sqltest", "internal/tlstest", "internal/asynqtest", "internal/e2e", "mq/mqtest"}

const module = "evalq"

type source struct {
	room, file string
	test       bool
	imports    []string
}

func sources(t *testing.T) []source {
	t.Helper()
	var out []source
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules" || otherModule(name)) {
			return filepath.SkipDir
		}
		if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil && name != "." {
			return filepath.SkipDir // a module of its own
		}
		if d.IsDir() || filepath.Ext(name) != ".go" {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		s := source{room: path.Dir(filepath.ToSlash(name)), file: name, test: strings.HasSuffix(name, "_test.go")}
		for _, spec := range f.Imports {
			p, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if ours, ok := strings.CutPrefix(p, module+"/"); ok {
				s.imports = append(s.imports, ours)
			}
		}
		out = append(out, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// otherModule reports whether a folder has a go.mod of its own, such as
// bench/peers, whose competitors must not enter ours.
func otherModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func TestEveryPackageHasARoomAndImportsOnlyDownwards(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		allowed, known := rooms[s.room]
		if !known {
			t.Errorf("%s: package %q has no row in the table of rooms", s.file, s.room)
			continue
		}
		if s.test {
			continue
		}
		for _, imp := range s.imports {
			if !slices.Contains(allowed, imp) {
				t.Errorf("%s: %q may not import %q", s.file, s.room, imp)
			}
			if slices.Contains(forTests, imp) {
				t.Errorf("%s: %q is for tests only", s.file, imp)
			}
		}
	}
}

func TestTheTableOfRoomsHasNoRowWithoutAPackage(t *testing.T) {
	t.Parallel()
	have := map[string]bool{}
	for _, s := range sources(t) {
		have[s.room] = true
	}
	for room := range rooms {
		if !have[room] {
			t.Errorf("room %q has no package", room)
		}
	}
}

// TestTheClientStaysLight follows the imports of the client through the module:
// a program that only submits must not compile SQLite, a judge or an engine.
func TestTheClientStaysLight(t *testing.T) {
	t.Parallel()
	deps := map[string][]string{}
	for _, s := range sources(t) {
		if !s.test {
			deps[s.room] = append(deps[s.room], s.imports...)
		}
	}
	seen, todo := map[string]bool{}, []string{"client"}
	for len(todo) > 0 {
		room := todo[0]
		todo = todo[1:]
		if seen[room] {
			continue
		}
		seen[room] = true
		todo = append(todo, deps[room]...)
	}
	for _, heavy := range []string{"internal/ledger/sqlite", "internal/engine", "internal/rubric", "internal/app", "worker"} {
		if seen[heavy] {
			t.Errorf("importing client compiles %s", heavy)
		}
	}
}
