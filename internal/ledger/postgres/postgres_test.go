package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"evalq/internal/ledger"
	"evalq/internal/ledger/ledgertest"
	"evalq/internal/ledger/migration"
	"evalq/internal/ledger/postgres"
	"evalq/internal/sqltest"
	"evalq/tasks"
)

func TestMain(m *testing.M) { sqltest.Main(m) }

func open(t testing.TB, url string, cfg *ledger.Config) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(context.Background(), url, true, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return db
}

func raw(t testing.TB, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestPostgresPassesTheLedgerSuite(t *testing.T) {
	t.Parallel()
	ledgertest.Run(t, func(t testing.TB, cfg *ledger.Config) *ledger.Ledger {
		return open(t, sqltest.Postgres(t), cfg).Ledger
	})
}

func TestProcessesShareALedgerInPostgres(t *testing.T) {
	t.Parallel()
	ledgertest.RunShared(t, func(t testing.TB, cfg *ledger.Config) (a, b *ledger.Ledger, db *sql.DB) {
		url := sqltest.Postgres(t)
		return open(t, url, cfg).Ledger, open(t, url, cfg).Ledger, raw(t, url)
	})
}

func TestAnAnswerThatIsLostAtTheCommitIsNoSecondWriteInPostgres(t *testing.T) {
	t.Parallel()
	ledgertest.RunLostAnswers(t, func(t testing.TB) string { return sqltest.Postgres(t) },
		func(t testing.TB, url string, cfg *ledger.Config) *ledger.Ledger { return open(t, url, cfg).Ledger })
}

func TestManyProcessesThatStartAtOnceMakeOneSchema(t *testing.T) {
	t.Parallel()
	url := sqltest.Postgres(t)
	errs := make(chan error, 5)
	for range cap(errs) {
		go func() {
			db, err := postgres.Open(context.Background(), url, true, nil)
			if err == nil {
				err = db.Close()
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestASchemaOfAnotherVersionIsRefused(t *testing.T) {
	t.Parallel()
	url := sqltest.Postgres(t)
	if _, err := postgres.Open(t.Context(), url, false, nil); !errors.Is(err, migration.ErrOlder) {
		t.Fatalf("an empty database: %v", err)
	}
	open(t, url, nil)
	if db, err := postgres.Open(t.Context(), url, false, nil); err != nil {
		t.Fatalf("the present schema: %v", err)
	} else if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := raw(t, url).ExecContext(t.Context(), `INSERT INTO evalq_schema (version_id, is_applied) VALUES (9999, true)`); err != nil {
		t.Fatal(err)
	}
	for _, migrate := range []bool{true, false} {
		if _, err := postgres.Open(t.Context(), url, migrate, nil); !errors.Is(err, migration.ErrNewer) || !strings.Contains(err.Error(), "9999") {
			t.Fatalf("a newer schema: %v", err)
		}
	}
}

func TestAWrongURLOrPasswordIsRefusedWithoutThePasswordInTheError(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"postgres://evalq:s3cret@127.0.0.1:1/x?connect_timeout=2", "postgres://u:s3cret@[bad", "postgres://u:s3cret@127.0.0.1/x?sslmode=s3cret",
	} {
		_, err := postgres.Open(t.Context(), url, true, nil)
		if err == nil || strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestAConnectionThatTheServerCutsIsReplaced(t *testing.T) {
	t.Parallel()
	url := sqltest.Postgres(t)
	db := open(t, url, nil)
	admin := raw(t, url)
	for n := int64(1); n <= 5; n++ {
		if _, err := admin.ExecContext(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`); err != nil {
			t.Fatal(err)
		}
		j, _, err := db.Accept(t.Context(), tasks.Request{Payload: tasks.EvaluationReport{UserID: 1, ReportID: n}}, "test")
		if err != nil {
			t.Fatalf("after the cut: %v", err)
		}
		if _, err := db.Get(t.Context(), j.ID); err != nil {
			t.Fatalf("read after the cut: %v", err)
		}
	}
}

// A primary that has lost its power answers nothing; nor does this one.
func TestAHostThatIsSilentDoesNotKeepTheNextFromBeingAsked(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	u, err := url.Parse(sqltest.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	u.Host = silent.Addr().String() + "," + u.Host
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	db, err := postgres.Open(ctx, u.String(), true, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if _, _, err := db.Accept(ctx, tasks.Request{Payload: tasks.EvaluationReport{UserID: 1, ReportID: 1}}, "test"); err != nil {
		t.Fatal(err)
	}
}
