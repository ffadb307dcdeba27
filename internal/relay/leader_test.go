package relay

import (
	"context"
	"database/sql"
	"log/slog"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"evalq/internal/ledger"
	"evalq/internal/ledger/postgres"
	"evalq/internal/sqltest"
	"evalq/tasks"
)

// A relay that reaches the ledger and not Redis can see nothing of what Redis
// lost, so it must not be the one that looks.
func TestARelayThatIsCutOffFromRedisLeavesTheLeadToAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	url := sqltest.Postgres(t)
	var ledgers [2]*ledger.Ledger
	for i := range ledgers {
		db, err := postgres.Open(t.Context(), url, true, nil)
		w.must(err)
		t.Cleanup(func() { db.Close() })
		ledgers[i] = db.Ledger
	}
	dead := redis.NewClient(&redis.Options{Network: "unix", Addr: w.redis.Socket + ".none", MaxRetries: -1})
	t.Cleanup(func() { dead.Close() })
	every := usual
	every.epoch = 50 * time.Millisecond
	start := func(l *ledger.Ledger, rdb redis.UniversalClient) {
		r, err := New(l, rdb, &Config{Logger: slog.New(w.log)})
		w.must(err)
		r.every = every
		w.background(r.Run)
	}
	ctx := t.Context()
	raw, err := sql.Open("pgx", url)
	w.must(err)
	t.Cleanup(func() { raw.Close() })
	start(ledgers[0], dead)
	w.eventually("relay without Redis leads", func() bool {
		return raw.QueryRowContext(ctx, `SELECT value FROM evalq_meta WHERE name = 'sweeper'`).Scan(new(string)) == nil
	})
	start(ledgers[1], w.rdb)
	j, _, err := ledgers[1].Accept(ctx, tasks.Request{Payload: tasks.Custom{Name: kind, UserID: 1, ReportID: 1}}, "test")
	w.must(err)
	w.awaitTask(j.TaskID(), "pending")
	w.must(w.rdb.FlushAll(context.Background()).Err())
	w.awaitTask(j.TaskID(), "pending")
}
