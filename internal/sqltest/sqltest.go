// Package sqltest gives each test an empty database on a real server. Only
// _test files import it. A package that uses it has
//
//	func TestMain(m *testing.M) { sqltest.Main(m) }
package sqltest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"evalq/internal/sandbox"
)

// limit bounds making and dropping one database, also the first, which starts
// the server.
const limit = 90 * time.Second

// shared is a server of this test binary, started by the first test that
// needs it.
type shared struct {
	start func(context.Context, *sandbox.Config) (*sandbox.Server, error)
	args  []string

	mu     sync.Mutex
	server *sandbox.Server
	err    error
}

// What these databases hold need not survive a loss of power. Tests of that
// start a server of their own.
var (
	postgres = &shared{start: sandbox.StartPostgres, args: []string{"-c", "fsync=off", "-c", "full_page_writes=off"}}
	mariadb  = &shared{start: sandbox.StartMariaDB, args: []string{"--innodb-flush-log-at-trx-commit=2", "--loose-debug-no-sync"}}

	guarded atomic.Bool // Main runs, so the servers will be stopped
	count   atomic.Int64
)

// Postgres returns the URL of an empty database on the PostgreSQL that the
// tests of this package share. The database is dropped when the test ends. It
// fails the test when PostgreSQL is not installed.
func Postgres(tb testing.TB) string {
	tb.Helper()
	return postgres.database(tb)
}

// MariaDB is [Postgres] with a MariaDB.
func MariaDB(tb testing.TB) string {
	tb.Helper()
	return mariadb.database(tb)
}

// Main runs the tests, closes the servers that they shared, and then fails if
// goroutines are left behind. It does not return.
func Main(m *testing.M, options ...goleak.Option) {
	goleak.VerifyTestMain(Closing(m), options...)
}

// Closing is m with the shared servers closed at the end of Run, for a TestMain
// that does more than [Main].
func Closing(m interface{ Run() int }) interface{ Run() int } {
	guarded.Store(true)
	return closing{m}
}

type closing struct{ tests interface{ Run() int } }

func (c closing) Run() int {
	code := c.tests.Run()
	for _, s := range []*shared{postgres, mariadb} {
		if err := s.close(); err != nil {
			fmt.Println("sqltest:", err)
			code = max(code, 1)
		}
	}
	return code
}

func (s *shared) database(tb testing.TB) string {
	tb.Helper()
	if !guarded.Load() {
		tb.Fatal("sqltest: nothing would stop the server: the package needs func TestMain(m *testing.M) { sqltest.Main(m) }")
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	server, err := s.get(ctx)
	if err != nil {
		tb.Fatalf("sqltest: %v (`make test` installs what tests need)", err)
	}
	name := fmt.Sprintf("t%d", count.Add(1))
	url, err := server.CreateDatabase(ctx, name)
	if err != nil {
		tb.Fatalf("sqltest: %v", err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if err := server.DropDatabase(ctx, name); err != nil {
			tb.Errorf("sqltest: %v", err)
		}
	})
	return url
}

// get starts the server once; all tests share what came of it.
func (s *shared) get(ctx context.Context) (*sandbox.Server, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil && s.err == nil {
		s.server, s.err = s.start(ctx, &sandbox.Config{Args: s.args})
	}
	return s.server, s.err
}

func (s *shared) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return nil
	}
	return s.server.Close()
}
