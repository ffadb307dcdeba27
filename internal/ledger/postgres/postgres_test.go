package postgres_test

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"evalq/internal/ledger"
	"evalq/internal/ledger/ledgertest"
	"evalq/internal/ledger/postgres"
)

var n atomic.Int64

func fresh(t testing.TB) string {
	db, err := sql.Open("pgx", "postgres://evalq@127.0.0.1:55432/postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	name := fmt.Sprintf("t%d_%d", time.Now().UnixNano(), n.Add(1))
	if _, err := db.Exec("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
	return "postgres://evalq@127.0.0.1:55432/" + name
}

func TestPostgresPassesTheLedgerSuite(t *testing.T) {
	t.Parallel()
	ledgertest.Run(t, func(t testing.TB, cfg *ledger.Config) *ledger.Ledger {
		db, err := postgres.Open(context.Background(), fresh(t), true, cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
		return db.Ledger
	})
}
