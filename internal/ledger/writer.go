package ledger

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"evalq/tasks"
)

// maxBatch bounds how many writes share one commit, so that the first of them
// does not wait for all.
const maxBatch = 256

// writeTimeout bounds one commit. A disk that takes longer is broken.
const writeTimeout = 30 * time.Second

// beginTimeout bounds the first word on a connection, and making a new one.
const beginTimeout = 15 * time.Second

// refusal is an error that a write returns before it has changed anything. It
// goes to its caller and leaves the batch alone.
type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

func refuse(err error) error { return &refusal{err} }

// write is one caller's share of a commit: a change, or requests to accept
// together with those of the other callers.
type write struct {
	ctx   context.Context
	apply func(*txn) error
	asks  []*ask
	taken bool // guarded by writer.mu; the batch has formed
	again bool // a commit of it broke off, so it may be stored already
	done  chan struct{}
	err   error
	after []func()
}

// writer groups concurrent writes into commits: while one commit is under way
// the next batch gathers behind it. Invariant: at most one drain runs.
type writer struct {
	db      *sql.DB
	dialect *Dialect
	clock   *dbClock
	// accepts stores the requests of all those writes. acceptsNew, which not every
	// database has, stores what it can in one statement, which is a transaction by
	// itself, and returns the writes that it left alone.
	accepts    func(*txn, []*write) error
	acceptsNew func(*txn, []*write) (left []*write, err error)
	mu         sync.Mutex
	queue      []*write
	busy       bool
	shut       bool
	lost       func()        // told of each connection that is given up; may be nil
	full       chan struct{} // set while drain gathers; closed when queue has
	wanted     int           // that many writes
	wg         sync.WaitGroup
	conn       *sql.Conn            // used by drain alone, as are the next two
	stmts      map[string]*sql.Stmt // prepared on conn
	used       time.Time            // the last commit on conn
}

func newWriter(db *sql.DB, d *Dialect, c *dbClock) *writer {
	return &writer{db: db, dialect: d, clock: c}
}

// do runs apply in a transaction and returns when it has been committed. When
// ctx ends before the batch has formed, nothing was done and ctx's error comes
// back; when it ends later, the commit goes on and the answer is
// tasks.ErrOutcomeUnknown.
func (w *writer) do(ctx context.Context, apply func(*txn) error) error {
	return w.await(&write{ctx: ctx, apply: apply, done: make(chan struct{})})
}

// accept is do for requests, whose answers are in them when it returns nil.
// After an error they belong to the commit that goes on.
func (w *writer) accept(ctx context.Context, asks []*ask) error {
	return w.await(&write{ctx: ctx, asks: asks, done: make(chan struct{})})
}

func (w *writer) await(op *write) error {
	ctx := op.ctx
	w.mu.Lock()
	if w.shut {
		w.mu.Unlock()
		return fmt.Errorf("ledger: closed: %w", tasks.ErrUnavailable)
	}
	w.queue = append(w.queue, op)
	w.tellGatherer()
	if !w.busy {
		w.busy = true
		w.wg.Go(w.drain)
	}
	w.mu.Unlock()
	select {
	case <-op.done:
	case <-ctx.Done():
		w.mu.Lock()
		taken := op.taken
		w.mu.Unlock()
		select {
		case <-op.done:
		default:
			if !taken {
				// drain sees the ended context and drops the write.
				return context.Cause(ctx)
			}
			return fmt.Errorf("%w: %w", tasks.ErrOutcomeUnknown, context.Cause(ctx))
		}
	}
	return op.err
}

// close waits for the writes under way and refuses new ones.
func (w *writer) close() {
	w.mu.Lock()
	w.shut = true
	w.mu.Unlock()
	w.wg.Wait()
	for _, s := range w.stmts {
		_ = s.Close()
	}
	if w.conn != nil {
		_ = w.conn.Close()
	}
}

func (w *writer) drain() {
	for {
		batch, more := w.take()
		if !more {
			return
		}
		began := time.Now()
		w.commit(batch)
		for _, op := range batch {
			// Here and not by the caller, who may have given up meanwhile.
			for _, f := range op.after {
				f()
			}
			close(op.done)
		}
		w.gather(len(batch), time.Since(began))
	}
}

// take forms the next batch from the writes whose callers still wait.
func (w *writer) take() (batch []*write, more bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := min(len(w.queue), maxBatch)
	for _, op := range w.queue[:n] {
		if op.ctx.Err() != nil {
			op.err = context.Cause(op.ctx)
			close(op.done)
			continue
		}
		op.taken = true
		batch = append(batch, op)
	}
	w.queue = append([]*write(nil), w.queue[n:]...)
	if n == 0 {
		w.busy = false
		return nil, false
	}
	return batch, true
}

// maxTries bounds how often one write is repeated because others were in its
// way.
const maxTries = 8

// commit writes the batch in one transaction. If that fails because others were in
// its way, it is repeated, and finds what they did; then each write is tried alone,
// so that a bad one fails its own caller only.
func (w *writer) commit(batch []*write) {
	if batch = w.commitNew(batch); len(batch) == 0 {
		return
	}
	err := w.transact(batch)
	if len(batch) > 1 && w.dialect.again(err) {
		err = w.transact(batch)
	}
	for i, op := range batch {
		if err == nil {
			return
		}
		if errors.Is(err, errNoConnection) {
			fail(batch[i:], err)
			return
		}
		if i == 0 && len(batch) == 1 && !w.worthRepeating(err) {
			fail(batch, err)
			return
		}
		if down := w.alone(op); down != nil {
			fail(batch[i:], down)
			return
		}
	}
}

// alone commits one write. Its own failure is in op; down is set when the
// database cannot be reached, which is the failure of all that wait.
func (w *writer) alone(op *write) (down error) {
	for try := 1; ; try++ {
		err := w.transact([]*write{op})
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errNoConnection):
			return err
		case try == maxTries || !w.worthRepeating(err):
			fail([]*write{op}, err)
			return nil
		}
		// Two that are in each other's way must not return together.
		time.Sleep(time.Duration(try) * rand.N(4*time.Millisecond))
	}
}

func (w *writer) worthRepeating(err error) bool {
	return w.dialect.again(err) || errors.Is(err, errBroken)
}

// fail tells writes that nothing was stored, or that nobody knows.
func fail(batch []*write, err error) {
	for _, op := range batch {
		op.err, op.after = err, nil
		if op.again {
			op.err = fmt.Errorf("%w: %w", tasks.ErrOutcomeUnknown, err)
		}
	}
}

var (
	// errNoConnection: the database could not be asked.
	errNoConnection = errors.New("no connection")
	// errBroken: the connection broke before the commit, which undoes all, or
	// during it, and then nobody knows.
	errBroken = errors.New("the connection broke")
)

// transact runs the batch between the dialect's BEGIN and COMMIT on the
// writer's own connection, on which its statements stay prepared.
func (w *writer) transact(batch []*write) (err error) {
	if err := w.begin(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	defer func() {
		switch {
		case err == nil:
		case errors.Is(err, errBroken):
			w.disconnect()
		default:
			if rerr := w.end("ROLLBACK"); rerr != nil {
				w.disconnect()
			}
		}
	}()
	if err := w.apply(ctx, batch); err != nil {
		return w.broken(err)
	}
	if err := w.end("COMMIT"); err != nil {
		err = w.broken(unavailable("commit", err))
		if errors.Is(err, errBroken) {
			for _, op := range batch {
				op.again = true
			}
		}
		return err
	}
	w.used = time.Now()
	return nil
}

// end says COMMIT or ROLLBACK, with a time of its own. A commit that is cut off may
// have happened; a server that gives no answer is as good as a broken connection,
// which is repeated. Where a caller would be told that nothing was stored, the
// answer is waited for.
func (w *writer) end(how string) error {
	ctx := context.Background()
	if w.dialect.Answered != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, writeTimeout)
		defer cancel()
	}
	_, err := w.conn.ExecContext(ctx, how)
	return err
}

// broken marks an error that is not the database's answer.
func (w *writer) broken(err error) error {
	if w.dialect.answered(err) {
		return err
	}
	return fmt.Errorf("%w: %w", errBroken, err)
}

// begin opens a transaction, on a new connection when the one at hand has
// broken since its last use. It also sets the clock by the database's.
func (w *writer) begin() error {
	var err error
	for range 2 {
		var opened bool
		if opened, err = w.open(); err == nil {
			return nil
		}
		if !opened {
			break
		}
		w.disconnect()
	}
	return fmt.Errorf("%w: %w", errNoConnection, unavailable("begin", err))
}

// open tries it once. Its time is its own: a connection that has fallen silent
// takes all of it, and a new one may do at once. Opened says that there is a
// connection.
func (w *writer) open() (opened bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), beginTimeout)
	defer cancel()
	if err := w.connect(ctx); err != nil {
		return false, err
	}
	if _, err := w.conn.ExecContext(ctx, w.dialect.Begin); err != nil {
		return true, err
	}
	return true, w.clock.sync(ctx, w.conn)
}

func (w *writer) connect(ctx context.Context) error {
	if w.conn != nil {
		return nil
	}
	conn, err := w.db.Conn(ctx)
	if err != nil {
		return err
	}
	for _, s := range w.dialect.Session {
		if _, err := conn.ExecContext(ctx, s); err != nil {
			_ = conn.Close()
			return err
		}
	}
	w.conn, w.stmts = conn, map[string]*sql.Stmt{}
	return nil
}

// disconnect gives the connection up, because nobody knows what state it is in.
func (w *writer) disconnect() {
	for _, s := range w.stmts {
		_ = s.Close()
	}
	if w.conn != nil {
		_ = w.conn.Raw(func(any) error { return driver.ErrBadConn })
		_ = w.conn.Close()
	}
	w.conn, w.stmts = nil, nil
	if w.lost != nil {
		w.wg.Go(w.lost) // closing a silent connection takes seconds
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

func (w *writer) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if s, ok := w.stmts[query]; ok {
		return s, nil
	}
	s, err := w.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	w.stmts[query] = s
	return s, nil
}

func (w *writer) exec(ctx context.Context, query string, args []any) (sql.Result, error) {
	s, err := w.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

func (w *writer) query(ctx context.Context, query string, args []any) (*sql.Rows, error) {
	s, err := w.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}
