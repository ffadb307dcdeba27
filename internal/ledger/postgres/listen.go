package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"evalq/internal/ledger"
)

const (
	firstPause   = 100 * time.Millisecond
	longestPause = 10 * time.Second
	// quiet is how long a listener hears nothing before it asks whether the
	// connection is alive: one that was cut off says nothing either.
	quiet = 30 * time.Second
	// patience bounds connecting, and the answer to that question.
	patience = 10 * time.Second
)

// Notify tells those who Listen that the ledger has more to do. It waits for no
// disk: when the server dies with it, they look by themselves.
func (d *DB) Notify(ctx context.Context) error {
	const query = `SELECT set_config('synchronous_commit', 'off', true), pg_notify('` + ledger.Channel + `', '')`
	if _, err := d.read.ExecContext(ctx, query); err != nil {
		return fmt.Errorf("postgres: notify: %w", err)
	}
	return nil
}

// Listen calls wake whenever somebody has committed a submission that this
// process cannot know of: a client with a postgres:// URL, or a transaction
// around one. It holds one connection, makes a new one when that breaks, at most
// 10 s after the server is back, and calls wake after each connecting, because
// what was told meanwhile is lost. Wake must not block.
//
// It returns nil when ctx ends, and an error at once for a URL that cannot be
// read.
func Listen(ctx context.Context, url string, wake func()) error {
	conf, err := parse(url)
	if err != nil {
		return fmt.Errorf("postgres: listen: %w", err)
	}
	if conf.RuntimeParams["application_name"] == "" {
		conf.RuntimeParams["application_name"] = "evalq listen"
	}
	pause := firstPause
	for ctx.Err() == nil {
		renew(url, conf)
		if heard := listen(ctx, conf, wake); heard {
			pause = firstPause
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, longestPause)
	}
	return nil
}

// listen hears until the connection breaks. Heard is false when there was none.
func listen(ctx context.Context, conf *pgx.ConnConfig, wake func()) (heard bool) {
	dial, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := pgx.ConnectConfig(dial, conf)
	if err != nil {
		return false
	}
	defer func() {
		bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(bye)
	}()
	if _, err := conn.Exec(dial, "LISTEN "+ledger.Channel); err != nil {
		return false
	}
	for {
		wake()
		if !hear(ctx, conn) {
			return true
		}
	}
}

// hear waits for a notification. False means that the connection is gone.
func hear(ctx context.Context, conn *pgx.Conn) bool {
	for {
		wait, cancel := context.WithTimeout(ctx, quiet)
		told, err := conn.WaitForNotification(wait)
		silent := wait.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case told != nil:
			return true
		case err != nil && !silent:
			return false
		}
		ask, cancel := context.WithTimeout(ctx, patience)
		err = conn.Ping(ask)
		cancel()
		if err != nil {
			return false
		}
	}
}
