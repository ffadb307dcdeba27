package ledger

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"evalq/internal/dberror"
	"evalq/tasks"
)

// writeTimeout bounds one commit. A disk that takes longer is broken.
const writeTimeout = 30 * time.Second

// beginTimeout bounds the first word on a connection, and making a new one.
const beginTimeout = 15 * time.Second

// lane is a connection on which batches are written one after the other.
type lane struct {
	w      *writer
	conn   *sql.Conn            // used by drain alone, as are the next ones
	stmts  map[string]*sql.Stmt // prepared on conn
	used   time.Time            // the last commit on conn
	until  time.Time            // when conn gives way to a new one
	looked time.Time            // when its server was last seen to take writes

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

const (
	// lifetime is how long a connection is kept: a proxy before several servers sends a
	// new one to the server that takes writes now.
	lifetime = time.Minute
	// lookEvery is how old the last look at the server may be before a transaction.
	lookEvery = time.Second
)

// due reports whether the connection has to be looked at, or to give way.
func (l *lane) due() bool {
	return !l.w.dialect.OneOwner && (time.Since(l.looked) > lookEvery || time.Now().After(l.until))
}

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
	ctx, cancel := context.WithTimeout(l.w.ctx, writeTimeout)
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
	if !l.w.dialect.OneOwner {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(l.w.ctx, writeTimeout)
		defer cancel()
	}
	_, err := l.conn.ExecContext(ctx, how)
	return l.w.dialect.explain(err)
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
	return fmt.Errorf("%w: %w", errNoConnection, unavailable("begin", l.w.dialect.explain(err)))
}

// open tries it once. Its time is its own: a connection that has fallen silent
// takes all of it, and a new one may do at once. Opened says that there is a
// connection.
func (l *lane) open() (opened bool, err error) {
	ctx, cancel := context.WithTimeout(l.w.ctx, beginTimeout)
	defer cancel()
	if l.conn != nil && !l.w.dialect.OneOwner && time.Now().After(l.until) {
		l.release()
	}
	if err := l.connect(ctx); err != nil {
		return false, err
	}
	if err := l.look(ctx); err != nil {
		return true, err
	}
	if _, err := l.conn.ExecContext(ctx, l.w.dialect.Begin); err != nil {
		return true, err
	}
	return true, l.w.clock.sync(ctx, l.conn)
}

// look refuses a server that has become read-only, also when this user might still
// write there: its primary is another one by then.
func (l *lane) look(ctx context.Context) error {
	if l.w.dialect.readOnly == "" || time.Since(l.looked) <= lookEvery {
		return nil
	}
	var said string
	if err := l.conn.QueryRowContext(ctx, l.w.dialect.readOnly).Scan(&said); err != nil {
		return err
	}
	if said != "0" && said != "OFF" {
		return errReadOnly
	}
	l.looked = time.Now()
	return nil
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
	l.conn, l.stmts, l.looked = conn, map[string]*sql.Stmt{}, time.Time{}
	l.until = time.Now().Add(lifetime + rand.N(lifetime/4)) // not all lanes at once
	return nil
}

// release gives a connection back that is whole; the pool keeps none.
func (l *lane) release() {
	l.close()
	l.conn, l.stmts = nil, nil
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

var errReadOnly = dberror.Fault{Kind: dberror.Elsewhere, Code: "read-only", What: "the server is read-only", Do: "name the primary in the URL, or make this server one"}.
	Explain(errors.New("it takes no writes"))

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
		return nil, fmt.Errorf("prepare: %w", l.w.dialect.explain(err))
	}
	l.stmts[query] = s
	return s, nil
}

func (l *lane) exec(ctx context.Context, query string, args []any) (sql.Result, error) {
	s, err := l.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	res, err := s.ExecContext(ctx, args...)
	return res, l.w.dialect.explain(err)
}

func (l *lane) query(ctx context.Context, query string, args []any) (*sql.Rows, error) {
	s, err := l.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(ctx, args...)
	return rows, l.w.dialect.explain(err)
}
