package ledger

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"time"

	"evalq/tasks"
)

// maxBatch bounds how many writes share one commit, so that the first of them
// does not wait for all.
const maxBatch = 256

// writeTimeout bounds one commit. A disk that takes longer is broken.
const writeTimeout = 30 * time.Second

// refusal is an error that a write returns before it has changed anything. It
// goes to its caller and leaves the batch alone.
type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

func refuse(err error) error { return &refusal{err} }

// write is one caller's share of a commit.
type write struct {
	ctx   context.Context
	apply func(*txn) error
	taken bool // guarded by writer.mu; the batch has formed
	done  chan struct{}
	err   error
	after []func()
}

// writer groups concurrent writes into commits: while one commit is under way
// the next batch gathers behind it. Invariant: at most one drain runs.
type writer struct {
	db    *sql.DB
	mu    sync.Mutex
	queue []*write
	busy  bool
	shut  bool
	wg    sync.WaitGroup
	begin string
	conn  *sql.Conn            // used by drain alone, as is stmts
	stmts map[string]*sql.Stmt // prepared on conn
}

func newWriter(db *sql.DB, begin string) *writer { return &writer{db: db, begin: begin} }

// do runs apply in a transaction and returns when it has been committed. When
// ctx ends before the batch has formed, nothing was done and ctx's error comes
// back; when it ends later, the commit goes on and the answer is
// tasks.ErrOutcomeUnknown.
func (w *writer) do(ctx context.Context, apply func(*txn) error) error {
	op := &write{ctx: ctx, apply: apply, done: make(chan struct{})}
	w.mu.Lock()
	if w.shut {
		w.mu.Unlock()
		return fmt.Errorf("ledger: closed: %w", tasks.ErrUnavailable)
	}
	w.queue = append(w.queue, op)
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
		w.commit(batch)
		for _, op := range batch {
			// Here and not by the caller, who may have given up meanwhile.
			for _, f := range op.after {
				f()
			}
			close(op.done)
		}
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

// commit writes the batch in one transaction. If that fails, each write is
// tried alone, so that a bad one fails its own caller only.
func (w *writer) commit(batch []*write) {
	if len(batch) == 0 {
		return
	}
	err := w.transact(batch)
	if err == nil {
		return
	}
	if len(batch) == 1 {
		batch[0].err, batch[0].after = err, nil
		return
	}
	for _, op := range batch {
		if err := w.transact([]*write{op}); err != nil {
			op.err, op.after = err, nil
		}
	}
}

// transact runs the batch between the dialect's BEGIN and COMMIT on the
// writer's own connection, on which its statements stay prepared.
func (w *writer) transact(batch []*write) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	if err := w.connect(ctx); err != nil {
		return err
	}
	if _, err := w.conn.ExecContext(ctx, w.begin); err != nil {
		w.disconnect()
		return unavailable("begin", err)
	}
	defer func() {
		if err == nil {
			return
		}
		if _, rerr := w.conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK"); rerr != nil {
			w.disconnect()
		}
	}()
	for _, op := range batch {
		t := &txn{ctx: ctx, w: w}
		op.err, op.after = nil, nil
		if err := t.run(op.apply); err != nil {
			var r *refusal
			if !errors.As(err, &r) {
				return err
			}
			op.err = r.err
		}
		op.after = t.after
	}
	// Without the deadline: a commit that is cut off may have happened, and a
	// caller who is told otherwise would act on it.
	if _, err := w.conn.ExecContext(context.WithoutCancel(ctx), "COMMIT"); err != nil {
		return unavailable("commit", err)
	}
	return nil
}

func (w *writer) connect(ctx context.Context) error {
	if w.conn != nil {
		return nil
	}
	conn, err := w.db.Conn(ctx)
	if err != nil {
		return unavailable("connect", err)
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
}

// unavailable marks an error of the database itself: nothing was stored.
func unavailable(doing string, err error) error {
	return fmt.Errorf("ledger: %s: %w: %w", doing, tasks.ErrUnavailable, err)
}

// txn is a write transaction. Its after functions run once the commit is done,
// before the caller goes on; they must not block.
type txn struct {
	ctx   context.Context
	w     *writer
	after []func()
}

func (t *txn) run(apply func(*txn) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("ledger: panic in a write: %v", p)
		}
	}()
	return apply(t)
}

func (t *txn) stmt(query string) (*sql.Stmt, error) {
	if s, ok := t.w.stmts[query]; ok {
		return s, nil
	}
	s, err := t.w.conn.PrepareContext(t.ctx, query)
	if err != nil {
		return nil, unavailable("prepare", err)
	}
	t.w.stmts[query] = s
	return s, nil
}

func (t *txn) exec(query string, args ...any) (sql.Result, error) {
	s, err := t.stmt(query)
	if err != nil {
		return nil, err
	}
	res, err := s.ExecContext(t.ctx, args...)
	if err != nil {
		return nil, unavailable("write", err)
	}
	return res, nil
}

func (t *txn) query(query string, args ...any) (*sql.Rows, error) {
	s, err := t.stmt(query)
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(t.ctx, args...)
	if err != nil {
		return nil, unavailable("read", err)
	}
	return rows, nil
}

func (t *txn) row(dest []any, query string, args ...any) (bool, error) {
	rows, err := t.query(query, args...)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return false, unavailable("read", err)
		}
		return false, nil
	}
	if err := rows.Scan(dest...); err != nil {
		return false, unavailable("read", err)
	}
	return true, nil
}
