package client_test

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"

	"evalq/client"
	"evalq/internal/ledger"
	"evalq/internal/ledger/mysql"
	"evalq/internal/ledger/postgres"
	"evalq/internal/mysqlurl"
	"evalq/internal/sqltest"
	"evalq/tasks"
)

func TestMain(m *testing.M) { sqltest.Main(m) }

// database is a kind of server that a ledger may be in.
type database struct {
	name  string
	fresh func(testing.TB) string
}

var (
	postgresql = database{"PostgreSQL", sqltest.Postgres}
	mariadb    = database{"MariaDB", sqltest.MariaDB}
)

// served makes the ledger of a database, as a server does when it starts.
func (d database) served(t *testing.T) (*ledger.Ledger, string) {
	t.Helper()
	url := d.fresh(t)
	l, db, err := serverLedger(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := l.Announce(t.Context(), []tasks.Kind{"own"}); err != nil {
		t.Fatal(err)
	}
	return l, url
}

func serverLedger(ctx context.Context, url string) (*ledger.Ledger, io.Closer, error) {
	if strings.HasPrefix(url, "mysql") {
		db, err := mysql.Open(ctx, url, true, nil)
		if err != nil {
			return nil, nil, err
		}
		return db.Ledger, db, nil
	}
	db, err := postgres.Open(ctx, url, true, nil)
	if err != nil {
		return nil, nil, err
	}
	return db.Ledger, db, nil
}

// handle is the database as a program of the caller's opens it.
func handle(t *testing.T, url string) *sql.DB {
	t.Helper()
	driver, dsn := "pgx", url
	if strings.HasPrefix(url, "mysql") {
		conf, err := mysqlurl.Parse(url)
		if err != nil {
			t.Fatal(err)
		}
		driver, dsn = "mysql", conf.FormatDSN()
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// door is a way in which a caller has a transaction of its own.
type door struct {
	name string
	database
	begin func(t *testing.T, url string, level sql.IsolationLevel) visit
	// holds are the levels at which a transaction sees only what was there when
	// it began, also when it wants to change that.
	holds []sql.IsolationLevel
	// once is set when the levels are those of the door before.
	once bool
}

// visit is a transaction of the caller's.
type visit struct {
	client.Tx
	commit, rollback func() error
}

var (
	levels = []sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable}
	usual  = []sql.IsolationLevel{sql.LevelDefault}
)

var doors = []door{
	{"database/sql and pgx", postgresql, beginSQL, levels[1:], false},
	{"pgx.Tx", postgresql, beginPgx, levels[1:], true},
	{"database/sql and go-sql-driver", mariadb, beginSQL, nil, false},
}

func beginSQL(t *testing.T, url string, level sql.IsolationLevel) visit {
	t.Helper()
	tx, err := handle(t, url).BeginTx(context.Background(), &sql.TxOptions{Isolation: level})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() })
	return visit{tx, tx.Commit, tx.Rollback}
}

func beginPgx(t *testing.T, url string, level sql.IsolationLevel) visit {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	var options pgx.TxOptions
	if level != sql.LevelDefault {
		options.IsoLevel = pgx.TxIsoLevel(strings.ToLower(level.String()))
	}
	tx, err := conn.BeginTx(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	t.Cleanup(func() {
		_ = tx.Rollback(ctx)
		_ = conn.Close(ctx)
	})
	return visit{
		client.PgxTx(tx), func() error { return tx.Commit(ctx) }, func() error { return tx.Rollback(ctx) },
	}
}

// throughEach runs a test for each door and each of the levels of isolation.
func throughEach(t *testing.T, levels []sql.IsolationLevel, test func(t *testing.T, s shop)) {
	t.Parallel()
	for _, d := range doors {
		for i, level := range levels {
			if d.once && i > 0 {
				break
			}
			t.Run(d.name+", "+strings.ToLower(level.String()), func(t *testing.T) {
				t.Parallel()
				l, url := d.served(t)
				c := open(t, url, &client.Config{Name: "shop"})
				if _, err := handle(t, url).ExecContext(t.Context(), "CREATE TABLE orders (n INT)"); err != nil {
					t.Fatal(err)
				}
				test(t, shop{t: t, ctx: t.Context(), Client: c, server: l, url: url, door: d, level: level})
			})
		}
	}
}

// shop is a program whose own database the ledger is in.
type shop struct {
	*client.Client
	t      *testing.T
	ctx    context.Context
	server *ledger.Ledger
	url    string
	door   door
	level  sql.IsolationLevel
}

// begin opens a transaction that has looked at its database already: where the
// level binds it to what it sees first, that was now.
func (s shop) begin() visit {
	s.t.Helper()
	v := s.door.begin(s.t, s.url, s.level)
	s.count(v, "orders")
	return v
}

func (s shop) count(v client.Tx, table string) int {
	s.t.Helper()
	rows, err := v.QueryContext(s.ctx, "SELECT count(*) FROM "+table)
	s.must(err)
	defer rows.Close()
	n := -1
	for rows.Next() {
		s.must(rows.Scan(&n))
	}
	s.must(rows.Err())
	return n
}

func (s shop) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s shop) exec(v client.Tx, query string) {
	s.t.Helper()
	_, err := v.ExecContext(s.ctx, query)
	s.must(err)
}

// holds reports whether a transaction of this shop is bound to what was there
// when it began.
func (s shop) holds() bool { return slices.Contains(s.door.holds, s.level) }

// locksReads reports whether what a transaction of this shop reads, and what lies
// next to it, is kept from others.
func (s shop) locksReads() bool {
	return s.door.database.name == mariadb.name && s.level == sql.LevelSerializable
}

func report(id int64) tasks.EvaluationReport { return tasks.EvaluationReport{UserID: 7, ReportID: id} }

// find is the job of a report, as others see it, or a zero one.
func (s shop) find(id int64) tasks.Job {
	s.t.Helper()
	j, err := s.server.Find(s.ctx, tasks.KindEvaluationReport, 7, id)
	if err != nil && !errors.Is(err, tasks.ErrNotFound) {
		s.t.Fatal(err)
	}
	return j
}

// outcome is what a call that waits for somebody came to.
type outcome struct {
	job tasks.Job
	err error
}

// later calls SubmitTx without waiting for it.
func (s shop) later(v client.Tx, p tasks.Payload, opts ...client.Option) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		j, err := s.SubmitTx(s.ctx, v, p, opts...)
		done <- outcome{j, err}
	}()
	return done
}

func (s shop) soon(done <-chan outcome) outcome {
	s.t.Helper()
	select {
	case o := <-done:
		return o
	case <-time.After(30 * time.Second):
		s.t.Fatal("it waits for ever")
	}
	return outcome{}
}

// waits returns once a transaction of the database waits for another.
func (s shop) waits() {
	s.t.Helper()
	db := handle(s.t, s.url)
	look := waitsInPostgres
	if s.door.database.name == mariadb.name {
		look = waitsInMariaDB
	}
	eventually(s.t, "a transaction waits", func() bool {
		waits, err := look(s.ctx, db)
		s.must(err)
		return waits
	})
}

func waitsInPostgres(ctx context.Context, db *sql.DB) (waits bool, err error) {
	err = db.QueryRowContext(ctx, `SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waits)
	return waits, err
}

var waiting = regexp.MustCompile(`(?s)LOCK WAIT.*?thread id (\d+)`)

// waitsInMariaDB reads the server's monitor: information_schema.innodb_trx stands
// still while anybody reads it often.
func waitsInMariaDB(ctx context.Context, db *sql.DB) (bool, error) {
	var kind, name, status string
	if err := db.QueryRowContext(ctx, `SHOW ENGINE INNODB STATUS`).Scan(&kind, &name, &status); err != nil {
		return false, err
	}
	_, status, _ = strings.Cut(status, "LIST OF TRANSACTIONS") // behind the last deadlock
	for _, m := range waiting.FindAllStringSubmatch(status, -1) {
		var ours bool
		if err := db.QueryRowContext(ctx, `SELECT count(*) > 0 FROM information_schema.processlist WHERE db = database() AND id = ?`, m[1]).Scan(&ours); err != nil || ours {
			return ours, err
		}
	}
	return false, nil
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("in 30 s it did not happen that %s", what)
		case <-look.C:
		}
	}
}
