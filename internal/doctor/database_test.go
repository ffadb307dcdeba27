package doctor_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"

	"evalq/internal/doctor"
	"evalq/internal/ledger"
	evalqmysql "evalq/internal/ledger/mysql"
	"evalq/internal/ledger/postgres"
	"evalq/internal/mysqlurl"
	"evalq/internal/sandbox"
)

func private(t *testing.T, start func(context.Context, *sandbox.Config) (*sandbox.Server, error), args ...string) *sandbox.Server {
	t.Helper()
	s, err := start(t.Context(), &sandbox.Config{Args: args})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// handle is a connection by which a person sets the server up.
func handle(t *testing.T, driver, dsn string) func(statements ...string) {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return func(statements ...string) {
		t.Helper()
		for _, s := range statements {
			if _, err := db.ExecContext(t.Context(), s); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
	}
}

type closer interface{ Close() error }

// shared is a subject whose ledger many processes could share.
func shared(t *testing.T, kind string, db interface {
	doctor.Database
	closer
}, l *ledger.Ledger) doctor.Subject {
	t.Helper()
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return doctor.Subject{Kind: kind, LedgerPlace: kind, Database: db, Ledger: l, Ready: l.Ready, RedisErr: doctor.ErrInside}
}

func onPostgres(t *testing.T, url string, cfg *ledger.Config) (doctor.Subject, *postgres.DB) {
	t.Helper()
	db, err := postgres.Open(t.Context(), url, true, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return shared(t, doctor.Postgres, db, db.Ledger), db
}

func onMariaDB(t *testing.T, url string) (doctor.Subject, func(statements ...string)) {
	t.Helper()
	db, err := evalqmysql.Open(t.Context(), url, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	conf, err := mysqlurl.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	conf.Logger = &mysql.NopLogger{}
	return shared(t, doctor.MySQL, db, db.Ledger), handle(t, "mysql", conf.FormatDSN())
}

var inOrder = []string{"ledger", "ledger.version", "ledger.schema", "ledger.writable", "ledger.durability", "ledger.settings", "ledger.connections", "ledger.clock", "quarantine"}

func TestPostgreSQLIsLookedAtAndCuredByItsAdvice(t *testing.T) {
	t.Parallel()
	pg := private(t, sandbox.StartPostgres, "-c", "max_connections=30")
	s, _ := onPostgres(t, pg.URL(), nil)
	e := examine(t, s, nil)
	for _, check := range inOrder {
		e.want(check, doctor.OK)
	}
	e.want("ledger.backup", doctor.Note, "evalq_")
	e.wantNothingOf("ledger.disk")

	typed := handle(t, "pgx", pg.URL())
	for _, setting := range []string{"fsync", "full_page_writes"} {
		typed("ALTER SYSTEM SET "+setting+" = off", "SELECT pg_reload_conf()")
		eventually(t, setting+" is off", func() bool {
			return doctor.Worst(examine(t, s, nil).found) == doctor.Failure
		})
		examine(t, s, nil).want("ledger.durability", doctor.Failure, setting, "ALTER SYSTEM SET "+setting+" = on; SELECT pg_reload_conf()")
		typed("ALTER SYSTEM SET "+setting+" = on", "SELECT pg_reload_conf()")
		eventually(t, setting+" is on", func() bool {
			return doctor.Worst(examine(t, s, nil).found) != doctor.Failure
		})
		examine(t, s, nil).want("ledger.durability", doctor.OK)
	}

	var held []*sql.Conn
	db, err := sql.Open("pgx", pg.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for range 22 {
		c, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	examine(t, s, nil).want("ledger.connections", doctor.Warning, "of 30", "max_connections")
	for _, c := range held {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the connections are given back", func() bool {
		return doctor.Worst(examine(t, s, nil).found) == doctor.Note
	})

	if err := pg.Kill(); err != nil {
		t.Fatal(err)
	}
	e = examine(t, s, nil)
	e.want("ledger", doctor.Failure, "does not answer", "--ledger-url")
	e.wantNothingOf("ledger.schema")
}

func TestALedgerOfManyProcessesHasARelayThatLeadsAndClocksThatAgree(t *testing.T) {
	t.Parallel()
	pg := private(t, sandbox.StartPostgres)
	s, db := onPostgres(t, pg.URL(), nil)
	deep := &doctor.Config{Deep: true, Watch: 500 * time.Millisecond}
	examine(t, s, deep).want("relay", doctor.Warning, "no relay leads", "role relay")

	ctx, cancel := context.WithCancel(t.Context())
	led := make(chan error, 1)
	go func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			if _, err := db.Lead(t.Context(), "r1"); err != nil {
				led <- err
				return
			}
			select {
			case <-ctx.Done():
				led <- nil
				return
			case <-tick.C:
			}
		}
	}()
	examine(t, s, deep).want("relay", doctor.OK, "r1 leads")
	cancel() // it is killed, and does not resign
	if err := <-led; err != nil {
		t.Fatal(err)
	}
	examine(t, s, deep).want("relay", doctor.Warning, "no sign of life for 500ms", "role relay")
	examine(t, s, nil).wantNothingOf("relay")

	ahead, _ := onPostgres(t, pg.URL(), &ledger.Config{Now: func() time.Time { return time.Now().Add(40 * time.Second) }})
	examine(t, ahead, nil).want("ledger.clock", doctor.Warning, "ahead of that of the database", "chrony")
	behind, _ := onPostgres(t, pg.URL(), &ledger.Config{Now: func() time.Time { return time.Now().Add(-5 * time.Second) }})
	examine(t, behind, nil).want("ledger.clock", doctor.Note, "behind that of the database", "chrony")
}

func TestMariaDBIsLookedAtAndCuredByItsAdvice(t *testing.T) {
	t.Parallel()
	s, typed := onMariaDB(t, private(t, sandbox.StartMariaDB, "--log-bin=bin", "--sync-binlog=1", "--server-id=1").URL())
	e := examine(t, s, nil)
	for _, check := range inOrder {
		e.want(check, doctor.OK)
	}
	for ailment, cure := range map[string]string{
		"innodb_flush_log_at_trx_commit = 2": "innodb_flush_log_at_trx_commit = 1",
		"sync_binlog = 0":                    "sync_binlog = 1",
	} {
		typed("SET GLOBAL " + ailment)
		examine(t, s, nil).want("ledger.durability", doctor.Warning, "loses power", "SET GLOBAL "+cure)
		typed("SET GLOBAL " + cure)
		examine(t, s, nil).want("ledger.durability", doctor.OK)
	}
	for ailment, c := range map[string]struct {
		level doctor.Level
		cure  string
	}{
		"max_allowed_packet = 2097152": {doctor.Warning, "max_allowed_packet = 67108864"},
		"binlog_format = 'STATEMENT'":  {doctor.Failure, "binlog_format = 'ROW'"},
	} {
		typed("SET GLOBAL " + ailment)
		examine(t, s, nil).want("ledger.settings", c.level, "SET GLOBAL "+c.cure)
		typed("SET GLOBAL " + c.cure)
		examine(t, s, nil).want("ledger.settings", doctor.OK)
	}
	typed("SET GLOBAL read_only = 1")
	examine(t, s, nil).want("ledger.durability", doctor.Failure, "read-only", "SET GLOBAL read_only = 0")
	typed("SET GLOBAL read_only = 0")
	examine(t, s, nil).want("ledger.durability", doctor.OK)
}
