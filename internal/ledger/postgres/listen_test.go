package postgres_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"evalq/internal/ledger"
	"evalq/internal/ledger/postgres"
	"evalq/internal/sqltest"
	"evalq/tasks"
)

// listener is a Listen under way that counts what it hears.
func listener(t *testing.T, url string) <-chan struct{} {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	woken, done := make(chan struct{}, 100), make(chan error, 1)
	go func() { done <- postgres.Listen(ctx, url, func() { woken <- struct{}{} }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	hears(t, woken) // it is connected
	return woken
}

func hears(t *testing.T, woken <-chan struct{}) {
	t.Helper()
	select {
	case <-woken:
	case <-time.After(20 * time.Second):
		t.Fatal("it was not woken")
	}
}

func TestAListenerIsWokenByTheCommitOfACallersTransaction(t *testing.T) {
	t.Parallel()
	url := sqltest.Postgres(t)
	db, own := open(t, url, nil), raw(t, url)
	woken := listener(t, url)
	tx, err := own.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	r := tasks.Request{Payload: tasks.EvaluationReport{UserID: 1, ReportID: 2}}
	if _, _, err := db.AcceptIn(t.Context(), tx, r, "client"); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	hears(t, woken)
}

func TestATransactionTellsNobodyBeforeItsCommit(t *testing.T) {
	t.Parallel()
	url := sqltest.Postgres(t)
	db, own := open(t, url, nil), raw(t, url)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), "LISTEN "+ledger.Channel); err != nil {
		t.Fatal(err)
	}
	tx, err := own.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	var pid uint32
	if err := tx.QueryRow(`SELECT pg_backend_pid()`).Scan(&pid); err != nil {
		t.Fatal(err)
	}
	r := tasks.Request{Payload: tasks.EvaluationReport{UserID: 1, ReportID: 2}}
	if _, _, err := db.AcceptIn(t.Context(), tx, r, "client"); err != nil {
		t.Fatal(err)
	}
	if err := db.Notify(t.Context()); err != nil { // comes after what was told before it
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, want := range []bool{false, true} {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if got := n.PID == pid; got != want {
			t.Errorf("told by the transaction: %t, want %t", got, want)
		}
	}
}

func TestAListenerWhoseConnectionIsCutComesBackAndLooks(t *testing.T) {
	t.Parallel()
	url := sqltest.Postgres(t)
	db, own := open(t, url, nil), raw(t, url)
	woken := listener(t, url)
	for range 3 {
		if _, err := own.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'evalq listen' AND datname = current_database()`); err != nil {
			t.Fatal(err)
		}
		hears(t, woken) // it looks by itself, since it may have missed something
		if err := db.Notify(t.Context()); err != nil {
			t.Fatal(err)
		}
		hears(t, woken)
	}
}

func TestAListenerEndsWithItsContextWhateverTheServerDoes(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- postgres.Listen(ctx, "postgres://127.0.0.1:1/none", func() { t.Error("woken by nobody") })
	}()
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it goes on")
	}
	err := postgres.Listen(t.Context(), "postgres://u:s3cret@host:port/", func() {})
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Error(err)
	}
}
