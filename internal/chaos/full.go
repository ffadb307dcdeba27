package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"evalq/client"
	"evalq/tasks"
)

// How the servers are set up so that they can run full: PostgreSQL under a limit
// of the size of its files, for which its log must be in small ones; MariaDB with
// a tablespace that ends.
var (
	postgresInit = []string{"--wal-segsize=1"}
	mariadbArgs  = []string{
		"--innodb-file-per-table=0", "--innodb-data-file-path=ibdata1:12M:autoextend:max:512M", "--innodb-log-file-size=16M",
	}
)

// leastLimit is the size of a file of PostgreSQL's log.
const leastLimit = 1 << 20

// errRoomLeft means that the ledger still took a write.
var errRoomLeft = errors.New("the ledger did not run full")

// roomy has PostgreSQL spread the events over many pages, so that their file is
// larger than those that must go on growing while the ledger is full.
func (w *world) roomy(ctx context.Context) error {
	if w.cfg.Ledger != Postgres {
		return nil
	}
	if _, err := w.books.db.ExecContext(ctx, `ALTER TABLE evalq_events SET (fillfactor = 10)`); err != nil {
		return fmt.Errorf("chaos: spread the events: %w", err)
	}
	return nil
}

// fillUp lets the ledger run full for a while. It answers how many of its own
// writes were refused meanwhile.
func (w *world) fillUp(ctx context.Context, d time.Duration) (refused int, err error) {
	fill, empty, probe := w.fillers()
	if err := fill(ctx); err != nil {
		return 0, errors.Join(err, empty(context.WithoutCancel(ctx)))
	}
	end := time.NewTimer(d)
	defer end.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for going := true; going; {
		if full, err := probe(ctx); err == nil && full {
			refused++
		}
		select {
		case <-tick.C:
		case <-end.C:
			going = false
		case <-ctx.Done():
			going = false
		}
	}
	if err := empty(context.WithoutCancel(ctx)); err != nil {
		return refused, err
	}
	if refused == 0 {
		return 0, errRoomLeft
	}
	return refused, nil
}

// fillers are the three steps for the ledger at hand. A probe answers whether a
// write was refused.
func (w *world) fillers() (fill, empty func(context.Context) error, probe func(context.Context) (bool, error)) {
	switch w.cfg.Ledger {
	case Postgres:
		return w.limitPostgres, func(context.Context) error { return limitFiles(w.server, noLimit) }, w.probeEvents
	case MySQL:
		return w.fillMariaDB, w.emptyMariaDB, w.probeEvents
	}
	n := w.nodes[0]
	word := func(word string) func(context.Context) error {
		return func(ctx context.Context) error { return n.say(ctx, word) }
	}
	return word(wordFull), word(wordRoom), w.probeInterview
}

// limitPostgres forbids every file of the server to grow beyond the present size
// of the events.
func (w *world) limitPostgres(ctx context.Context) error {
	var size int64
	if err := w.books.db.QueryRowContext(ctx, `SELECT pg_relation_size('evalq_events')`).Scan(&size); err != nil {
		return err
	}
	if size < leastLimit {
		return fmt.Errorf("%w: its largest table has %d bytes", errRoomLeft, size)
	}
	return limitFiles(w.server, uint64(size))
}

// fillMariaDB adds a table until nothing more fits, the last rows being small.
func (w *world) fillMariaDB(ctx context.Context) error {
	if _, err := w.books.db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS chaos_ballast (body LONGBLOB)`); err != nil {
		return err
	}
	for _, size := range []int{4 << 20, 256 << 10, 32 << 10, 4 << 10} {
		for {
			_, err := w.books.db.ExecContext(ctx, `INSERT INTO chaos_ballast VALUES (REPEAT('x', ?))`, size)
			if err == nil {
				continue
			}
			if !strings.Contains(err.Error(), "full") {
				return err
			}
			break
		}
	}
	return nil
}

func (w *world) emptyMariaDB(ctx context.Context) error {
	_, err := w.books.db.ExecContext(ctx, `DROP TABLE IF EXISTS chaos_ballast`)
	return err
}

// probeEvents tries to write what nearly every write of evalq writes too.
func (w *world) probeEvents(ctx context.Context) (bool, error) {
	tx, err := w.books.db.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback()
	_, err = tx.ExecContext(ctx, `INSERT INTO evalq_events (job_id, at, from_state, to_state, who, why, build) VALUES ('chaos', 0, '', '', '', '`+strings.Repeat("x", 4000)+`', '')`)
	return err != nil, nil
}

// probeInterview stores an interview that nobody asks for. It is too large for
// what may be left free inside of the file.
func (w *world) probeInterview(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	c, err := client.Open(ctx, "http://"+w.nodes[0].api.addr(), &client.Config{Timeout: 500 * time.Millisecond})
	if err != nil {
		return false, err
	}
	defer c.Close()
	doc, err := json.Marshal(map[string]any{"user_id": 1, "title": "ballast", "answers": []map[string]string{
		{"question": "?", "answer": strings.Repeat("ballast ", 1<<14)},
	}})
	if err != nil {
		return false, err
	}
	_, err = c.PutInterview(ctx, 1<<40+rand.Int64N(1<<40), doc)
	return errors.Is(err, tasks.ErrUnavailable) || errors.Is(err, tasks.ErrOutcomeUnknown), nil
}
