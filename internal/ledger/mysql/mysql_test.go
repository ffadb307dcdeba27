package mysql_test

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"

	"evalq/internal/ledger"
	"evalq/internal/ledger/ledgertest"
	"evalq/internal/ledger/mysql"
)

var n atomic.Int64

func fresh(t testing.TB) string {
	db, err := sql.Open("mysql", "evalq:pw@tcp(127.0.0.1:53306)/one")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	name := fmt.Sprintf("t%d_%d", time.Now().UnixNano(), n.Add(1))
	if _, err := db.Exec("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
	return "mysql://evalq:pw@127.0.0.1:53306/" + name
}

func TestMariaDBPassesTheLedgerSuite(t *testing.T) {
	t.Parallel()
	ledgertest.Run(t, func(t testing.TB, cfg *ledger.Config) *ledger.Ledger {
		db, err := mysql.Open(context.Background(), fresh(t), true, cfg)
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
