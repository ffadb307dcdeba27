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

// How the servers are set up so that they can run full, which is a limit on the
// size of their files: their logs have to be in small ones.
var (
	postgresInit = []string{"--wal-segsize=1"}
	mariadbArgs  = []string{"--innodb-log-file-size=8M", "--innodb-autoextend-increment=1"}
)

// leastLimit leaves room for every file that is not a table.
var leastLimit = map[string]int64{Postgres: 1 << 20, MySQL: 14 << 20}

// swell makes the events the largest table, so that all others can go on growing
// under a limit that stops it.
var swell = map[string]string{
	Postgres: `ALTER TABLE evalq_events SET (fillfactor = 10)`,
	MySQL:    `ALTER TABLE evalq_events ADD COLUMN ballast VARBINARY(4000) NOT NULL DEFAULT (REPEAT('x', 4000))`,
}

// tableSize asks for the size of their file.
var tableSize = map[string]string{
	Postgres: `SELECT pg_relation_size('evalq_events')`,
	MySQL:    `SELECT file_size FROM information_schema.innodb_sys_tablespaces WHERE name LIKE '%/evalq_events'`,
}

// errRoomLeft means that the ledger still took a write.
var errRoomLeft = errors.New("the ledger did not run full")

// roomy prepares the ledger for running full.
func (w *world) roomy(ctx context.Context) error {
	statement, ok := swell[w.cfg.Ledger]
	if !ok {
		return nil
	}
	if _, err := w.books.db.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("chaos: make the events large: %w", err)
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
	if w.server != nil {
		return w.limit, w.unlimit, w.probeEvents
	}
	n := w.nodes[0]
	word := func(word string) func(context.Context) error {
		return func(ctx context.Context) error { return n.say(ctx, word) }
	}
	return word(wordFull), word(wordRoom), w.probeInterview
}

// stuff uses up the room that InnoDB keeps free inside of the file. What it writes
// is taken back with the transaction.
func (w *world) stuff(ctx context.Context) (err error) {
	if w.cfg.Ledger != MySQL {
		return nil // pages of PostgreSQL that are there are full already
	}
	if w.ballast, err = w.books.db.BeginTx(context.WithoutCancel(ctx), nil); err != nil {
		return err
	}
	for range maxStuff {
		if _, err := w.ballast.ExecContext(ctx, ballastRow); err != nil {
			return nil // it is full
		}
	}
	return errRoomLeft
}

const (
	maxStuff   = 10_000
	ballastRow = `INSERT INTO evalq_events (job_id, at, from_state, to_state, who, why, build) VALUES ('chaos', 0, '', '', '', '', '')`
)

// unlimit lets the files grow again.
func (w *world) unlimit(context.Context) error {
	err := limitFiles(w.server, noLimit)
	if w.ballast != nil {
		err = errors.Join(err, w.ballast.Rollback())
		w.ballast = nil
	}
	return err
}

// limit forbids every file of the server to grow beyond the present size of the
// events.
func (w *world) limit(ctx context.Context) error {
	var size int64
	query := tableSize[w.cfg.Ledger]
	if strings.HasPrefix(w.ledgerIs, "MySQL") {
		query = strings.Replace(query, "innodb_sys_tablespaces", "innodb_tablespaces", 1)
	}
	if err := w.books.db.QueryRowContext(ctx, query).Scan(&size); err != nil {
		return err
	}
	if size < leastLimit[w.cfg.Ledger] {
		return fmt.Errorf("%w: its largest table has %d bytes", errRoomLeft, size)
	}
	if err := limitFiles(w.server, uint64(size)); err != nil {
		return err
	}
	return w.stuff(ctx)
}

// probeEvents tries to write what nearly every write of evalq writes too.
func (w *world) probeEvents(ctx context.Context) (bool, error) {
	tx, err := w.books.db.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback()
	_, err = tx.ExecContext(ctx, strings.Replace(ballastRow, "'')", "'"+strings.Repeat("x", 4000)+"')", 1))
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
