package ledger

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"time"

	"evalq/tasks"
)

// writeTimeout bounds one commit. A disk that takes longer is broken.
const writeTimeout = 30 * time.Second

// beginTimeout bounds the first word on a connection, and making a new one.
const beginTimeout = 15 * time.Second

// lane is a connection on which batches are written one after the other.
type lane struct {
	w     *writer
	conn  *sql.Conn            // used by drain alone, as are the next two
	stmts map[string]*sql.Stmt // prepared on conn
	used  time.Time            // the last commit on conn

	// Guarded by writer.mu.
	busy   bool                // a drain runs
	away   bool                // it has no connection that is known to be whole
	asking int                 // how many writes are under way that only ask
	keys   map[naturalKey]bool // of all requests under way, when there are two lanes
	full   chan struct{}       // set while drain gathers; closed when the queue has
	wanted int                 // that many writes
	failed time.Time           // when there was no connection to be had
}

// sideRest is how long the side lane is left alone when it had no connection.
const sideRest = time.Second

// ready makes sure of a connection before the side lane takes any write: until
// then all are with the main lane, which may be faster. False ends the drain.
func (l *lane) ready() bool {
	if l.fresh() {
		return true
	}
	l.report(func() { l.away = true })
	err := l.begin()
	if err == nil {
		if err = l.end("ROLLBACK"); err != nil {
			l.disconnect()
		}
	}
	if err != nil {
		l.report(func() { l.busy, l.failed = false, time.Now() })
		return false
	}
	l.used = time.Now()
	l.report(func() { l.away = false })
	return true
}

func (l *lane) report(what func()) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	what()
}

// trustFor is how long a connection is taken to be whole after its last use.
const trustFor = time.Second

func (l *lane) fresh() bool { return l.conn != nil && time.Since(l.used) <= trustFor }

// noteKeys is called with the writer's mu held, as is has.
func (l *lane) noteKeys(batch []*write) {
	l.keys = make(map[naturalKey]bool, len(batch))
	for _, op := range batch {
		for _, a := range op.asks {
			l.keys[a.key] = true
		}
	}
}

func (l *lane) has(asks []*ask) bool {
	return len(l.keys) > 0 && slices.ContainsFunc(asks, func(a *ask) bool { return l.keys[a.key] })
}

func (l *lane) close() {
	for _, s := range l.stmts {
		_ = s.Close()
	}
	if l.conn != nil {
		_ = l.conn.Close()
	}
}

// transact runs the batch between the dialect's BEGIN and COMMIT on the
// writer's own connection, on which its statements stay prepared.
func (l *lane) transact(batch []*write) error {
	return l.inTransaction(func(ctx context.Context) ([]*write, error) { return batch, l.apply(ctx, batch) })
}

// inTransaction commits what apply has done and says it did.
func (l *lane) inTransaction(apply func(context.Context) ([]*write, error)) (err error) {
	if err := l.begin(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	defer func() {
		switch {
		case err == nil:
		case errors.Is(err, errBroken):
			l.disconnect()
		default:
			if rerr := l.end("ROLLBACK"); rerr != nil {
				l.disconnect()
			}
		}
	}()
	done, err := apply(ctx)
	if err != nil {
		return l.broken(err)
	}
	if err := l.end("COMMIT"); err != nil {
		err = l.broken(unavailable("commit", err))
		if errors.Is(err, errBroken) {
			for _, op := range done {
				op.again = true
			}
		}
		return err
	}
	l.used = time.Now()
	return nil
}

// end says COMMIT or ROLLBACK, with a time of its own. A commit that is cut off may
// have happened; a server that gives no answer is as good as a broken connection,
// which is repeated. Where a caller would be told that nothing was stored, the
// answer is waited for.
func (l *lane) end(how string) error {
	ctx := context.Background()
	if l.w.dialect.Answered != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, writeTimeout)
		defer cancel()
	}
	_, err := l.conn.ExecContext(ctx, how)
	return err
}

// broken marks an error that is not the database's answer.
func (l *lane) broken(err error) error {
	if l.w.dialect.answered(err) {
		return err
	}
	return fmt.Errorf("%w: %w", errBroken, err)
}

// begin opens a transaction, on a new connection when the one at hand has
// broken since its last use. It also sets the clock by the database's.
func (l *lane) begin() error {
	var err error
	for range 2 {
		var opened bool
		if opened, err = l.open(); err == nil {
			return nil
		}
		if !opened {
			break
		}
		l.disconnect()
	}
	return fmt.Errorf("%w: %w", errNoConnection, unavailable("begin", err))
}

// open tries it once. Its time is its own: a connection that has fallen silent
// takes all of it, and a new one may do at once. Opened says that there is a
// connection.
func (l *lane) open() (opened bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), beginTimeout)
	defer cancel()
	if err := l.connect(ctx); err != nil {
		return false, err
	}
	if _, err := l.conn.ExecContext(ctx, l.w.dialect.Begin); err != nil {
		return true, err
	}
	return true, l.w.clock.sync(ctx, l.conn)
}

func (l *lane) connect(ctx context.Context) error {
	if l.conn != nil {
		return nil
	}
	conn, err := l.w.db.Conn(ctx)
	if err != nil {
		return err
	}
	for _, s := range l.w.dialect.Session {
		if _, err := conn.ExecContext(ctx, s); err != nil {
			_ = conn.Close()
			return err
		}
	}
	l.conn, l.stmts = conn, map[string]*sql.Stmt{}
	return nil
}

// disconnect gives the connection up, because nobody knows what state it is in.
func (l *lane) disconnect() {
	for _, s := range l.stmts {
		_ = s.Close()
	}
	if l.conn != nil {
		_ = l.conn.Raw(func(any) error { return driver.ErrBadConn })
		_ = l.conn.Close()
	}
	l.conn, l.stmts = nil, nil
	if l.w.lost != nil {
		l.w.wg.Go(l.w.lost) // closing a silent connection takes seconds
	}
}

// unavailable marks an error of the database itself: nothing was stored.
func unavailable(doing string, err error) error {
	return fmt.Errorf("ledger: %s: %w: %w", doing, tasks.ErrUnavailable, err)
}

// prepared runs statements inside a transaction.
type prepared interface {
	exec(ctx context.Context, query string, args []any) (sql.Result, error)
	query(ctx context.Context, query string, args []any) (*sql.Rows, error)
}

func (l *lane) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if s, ok := l.stmts[query]; ok {
		return s, nil
	}
	s, err := l.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	l.stmts[query] = s
	return s, nil
}

func (l *lane) exec(ctx context.Context, query string, args []any) (sql.Result, error) {
	s, err := l.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

func (l *lane) query(ctx context.Context, query string, args []any) (*sql.Rows, error) {
	s, err := l.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}
