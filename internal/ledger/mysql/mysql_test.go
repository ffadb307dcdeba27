package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"evalq/internal/ledger"
	"evalq/internal/ledger/ledgertest"
	"evalq/internal/ledger/migration"
	"evalq/internal/ledger/mysql"
	"evalq/internal/mysqlurl"
	"evalq/internal/sqltest"
	"evalq/tasks"
)

func TestMain(m *testing.M) { sqltest.Main(m) }

func open(t testing.TB, url string, cfg *ledger.Config) *mysql.DB {
	t.Helper()
	db, err := mysql.Open(context.Background(), url, true, cfg)
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
	cfg, err := mysqlurl.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("mysql", cfg.FormatDSN())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestMariaDBPassesTheLedgerSuite(t *testing.T) {
	t.Parallel()
	ledgertest.Run(t, func(t testing.TB, cfg *ledger.Config) *ledger.Ledger {
		return open(t, sqltest.MariaDB(t), cfg).Ledger
	})
}

func TestProcessesShareALedgerInMariaDB(t *testing.T) {
	t.Parallel()
	ledgertest.RunShared(t, func(t testing.TB, cfg *ledger.Config) (a, b *ledger.Ledger, db *sql.DB) {
		url := sqltest.MariaDB(t)
		return open(t, url, cfg).Ledger, open(t, url, cfg).Ledger, raw(t, url)
	})
}

func TestAnAnswerThatIsLostAtTheCommitIsNoSecondWriteInMariaDB(t *testing.T) {
	t.Parallel()
	ledgertest.RunLostAnswers(t, func(t testing.TB) string { return sqltest.MariaDB(t) },
		func(t testing.TB, url string, cfg *ledger.Config) *ledger.Ledger { return open(t, url, cfg).Ledger })
}

func TestManyProcessesThatStartAtOnceMakeOneSchema(t *testing.T) {
	t.Parallel()
	url := sqltest.MariaDB(t)
	errs := make(chan error, 5)
	for range cap(errs) {
		go func() {
			db, err := mysql.Open(context.Background(), url, true, nil)
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
	url := sqltest.MariaDB(t)
	if _, err := mysql.Open(t.Context(), url, false, nil); !errors.Is(err, migration.ErrOlder) {
		t.Fatalf("an empty database: %v", err)
	}
	open(t, url, nil)
	if db, err := mysql.Open(t.Context(), url, false, nil); err != nil {
		t.Fatalf("the present schema: %v", err)
	} else if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := raw(t, url).ExecContext(t.Context(), `INSERT INTO evalq_schema (version_id, is_applied) VALUES (9999, 1)`); err != nil {
		t.Fatal(err)
	}
	for _, migrate := range []bool{true, false} {
		if _, err := mysql.Open(t.Context(), url, migrate, nil); !errors.Is(err, migration.ErrNewer) || !strings.Contains(err.Error(), "9999") {
			t.Fatalf("a newer schema: %v", err)
		}
	}
}

func TestAWrongURLOrPasswordIsRefusedWithoutThePasswordInTheError(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"mysql://evalq:s3cret@127.0.0.1:1/x", "mysql://u:s3cret@", "mysql://u:s3cret@unix(/x", "mysql://u:s3cret@h/db?timeout=s3cret", "mysql://u:s3cret@[bad/db",
	} {
		_, err := mysql.Open(t.Context(), url, true, nil)
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestAConnectionThatTheServerCutsIsReplaced(t *testing.T) {
	t.Parallel()
	url := sqltest.MariaDB(t)
	db := open(t, url, nil)
	admin := raw(t, url)
	for n := int64(1); n <= 5; n++ {
		rows, err := admin.QueryContext(t.Context(), `SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()`)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		rows.Close()
		for _, id := range ids {
			// One that has gone by itself meanwhile is as good.
			_, _ = admin.ExecContext(t.Context(), `KILL `+id)
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

// Half past two in the night of Berlin in which summer time ended in 2025: it came
// twice. The server of the test may be anywhere, so this asks where the session is.
func TestTheClockOfASessionKnowsNoSummerTime(t *testing.T) {
	t.Parallel()
	conn, err := raw(t, sqltest.MariaDB(t)).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, s := range append(ledger.MySQL().Session, "SET SESSION timestamp = 1761438600") {
		if _, err := conn.ExecContext(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	var zone, local string
	if err := conn.QueryRowContext(t.Context(), "SELECT @@session.time_zone, CAST(NOW() AS CHAR)").Scan(&zone, &local); err != nil {
		t.Fatal(err)
	}
	if zone != "+00:00" || local != "2025-10-26 00:30:00" {
		t.Errorf("the session is in zone %s, where it is %s", zone, local)
	}
}
