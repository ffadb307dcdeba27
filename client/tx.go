package client

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"evalq/internal/ledger"
	"evalq/tasks"
)

var (
	// ErrNeedsDatabase: the method needs the postgres:// or mysql:// URL of the
	// ledger's database. A ledger behind an http:// URL may be anywhere, and a
	// SQLite ledger is never in the caller's database.
	ErrNeedsDatabase = errors.New("this needs a postgres:// or mysql:// URL: only a ledger in your own database takes part in your transactions")
	// ErrOtherDatabase: the transaction is not in the ledger's database. Nothing
	// was submitted.
	ErrOtherDatabase = ledger.ErrOtherDatabase
	// ErrNoTransaction: what was given runs each statement by itself, as a
	// *sql.DB does. Nothing was submitted.
	ErrNoTransaction = ledger.ErrNoTransaction
	// ErrTxConflict: the transaction met another one, and the database does not
	// let it go on as it is: a deadlock, or a job that has changed since a
	// transaction of a high level of isolation began. Roll back and do the whole
	// transaction again.
	ErrTxConflict = ledger.ErrTxConflict
)

// Tx is a transaction of the caller's. A *sql.Tx is one, and [PgxTx] makes one of
// a pgx.Tx. With GORM it is tx.Statement.ConnPool.(*sql.Tx) within
// db.Transaction.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// SubmitTx submits as a part of tx: when tx is committed the job is accepted,
// and when it is rolled back nothing was ever submitted. The ledger has to be in
// the database that tx is in, and the Client opened with that database's URL,
// else the error is ErrNeedsDatabase or ErrOtherDatabase.
//
// The job has its ID already; others see it only after the commit, which is also
// when relays learn of it: at once on PostgreSQL, within a second on MySQL. Until
// then, whoever submits, retries or runs the same job waits for tx, so keep it
// short. Other jobs do not wait.
//
// The level of isolation is the caller's choice:
//
//   - READ COMMITTED, PostgreSQL's default: what others have committed before
//     this call is found.
//   - REPEATABLE READ on MySQL and MariaDB, their default: the same; but a MariaDB
//     with innodb_snapshot_isolation refuses a job that has changed since tx began
//     with ErrTxConflict.
//   - SERIALIZABLE on MySQL and MariaDB: the same; but a key that exists keeps its
//     neighbours from others until tx ends.
//   - REPEATABLE READ and SERIALIZABLE on PostgreSQL: a job that was made or has
//     changed since tx began is ErrTxConflict. SERIALIZABLE may also refuse the
//     caller's commit.
//
// After an error tx is as it was before this call and may go on, with three
// exceptions. After ErrTxConflict roll back: MySQL has undone all of tx by itself
// when it was a deadlock, and what is sent to it then is committed at once. When
// ctx ends in the middle of a statement, the driver gives up the connection, and
// tx with it. When the connection is lost, so is tx. Config.Timeout does not
// count here: only ctx bounds the call.
//
// Errors besides these: *tasks.InvalidError for bad input and, without [NewKind], for
// a kind that the ledger does not know, and
// tasks.ErrUnavailable, with the driver's own, for everything else.
func (c *Client) SubmitTx(ctx context.Context, tx Tx, payload tasks.Payload, opts ...Option) (tasks.Job, error) {
	// The end of a context in the middle of a statement costs the caller tx, so Close
	// ends no call that is under way.
	_, done, err := c.begin(ctx, "submit in a transaction")
	if err != nil {
		return tasks.Job{}, err
	}
	done()
	if c.direct == nil {
		return tasks.Job{}, fmt.Errorf("client: submit in a transaction: %w", ErrNeedsDatabase)
	}
	if isNil(tx) {
		return tasks.Job{}, fmt.Errorf("client: submit in a transaction: %w", ErrNoTransaction)
	}
	r, err := requestOf(payload, opts)
	if err != nil {
		return tasks.Job{}, fmt.Errorf("client: submit in a transaction: %w", err)
	}
	job, _, err := c.direct.ledger.AcceptIn(ctx, tx, r, c.direct.who)
	if err != nil {
		return tasks.Job{}, fmt.Errorf("client: submit in a transaction: %w", err)
	}
	return job, nil
}
