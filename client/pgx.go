package client

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"io"

	"github.com/jackc/pgx/v5"
)

// PgxTx makes a transaction of pgx's own kind one that [Client.SubmitTx] takes.
// Committing and rolling back stay with tx.
func PgxTx(tx pgx.Tx) Tx {
	if isNil(tx) {
		return nil // which SubmitTx refuses
	}
	return pgxTx{tx}
}

type pgxTx struct{ tx pgx.Tx }

// ExecContext runs a statement.
func (p pgxTx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	tag, err := p.tx.Exec(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return driver.RowsAffected(tag.RowsAffected()), nil
}

// QueryContext reads all rows, and gives them in the form that database/sql has
// for them, which only database/sql can make.
func (p pgxTx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	rows, err := p.tx.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	read := &table{}
	for _, f := range rows.FieldDescriptions() {
		read.columns = append(read.columns, f.Name)
	}
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			rows.Close()
			return nil, err
		}
		read.rows = append(read.rows, values)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	db := sql.OpenDB(read)
	defer db.Close() // the rows go on
	return db.QueryContext(ctx, "")
}

// table is a database with one answer, which it gives to one question.
type table struct {
	columns []string
	rows    [][]any
}

// Connect gives the table itself, as the other methods do.
func (t *table) Connect(context.Context) (driver.Conn, error) { return t, nil }
func (t *table) Driver() driver.Driver                        { return t }
func (t *table) Open(string) (driver.Conn, error)             { return t, nil }
func (t *table) Begin() (driver.Tx, error)                    { return nil, driver.ErrSkip }
func (t *table) Prepare(string) (driver.Stmt, error)          { return nil, driver.ErrSkip }
func (t *table) Close() error                                 { return nil }
func (t *table) Columns() []string                            { return t.columns }
func (t *table) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return t, nil
}

// Next gives the next row.
func (t *table) Next(dest []driver.Value) error {
	if len(t.rows) == 0 {
		return io.EOF
	}
	for i, v := range t.rows[0] {
		dest[i] = v
	}
	t.rows = t.rows[1:]
	return nil
}
