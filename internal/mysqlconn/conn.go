package mysqlconn

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/go-sql-driver/mysql"

	"evalq/internal/dberror"
)

// Lifetime is how long a pool is to keep a connection: a proxy before several servers
// sends a new one to the server that serves now.
const Lifetime = time.Minute

// lookEvery is how old the last look at the server may be when a connection is used
// again.
const lookEvery = time.Second

// New gives connections for cfg, of which it takes a copy. With serving a server that is
// read-only, whatever the user may, is refused when a connection is made, and a
// connection is given up when its server has become so. In any case one is given up
// whose server has left its cluster; a statement that shows it is an error for which
// database/sql takes another connection by itself.
//
// The driver learns from the server how large a packet may be: the server ends a
// connection that sends a larger one, and says nothing.
func New(cfg *mysql.Config, serving bool) (driver.Connector, error) {
	own := cfg.Clone()
	own.MaxAllowedPacket = 0
	inner, err := mysql.NewConnector(own)
	if err != nil {
		return nil, err
	}
	return &connector{inner, serving}, nil
}

type connector struct {
	driver.Connector
	serving bool
}

// Connect refuses a server that may not serve.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, explain(err)
	}
	whole, ok := inner.(session)
	if !ok {
		_ = inner.Close()
		return nil, errors.New("mysql: the driver's connection lacks what evalq needs of it")
	}
	one := &conn{session: whole, serving: c.serving}
	if err := one.look(ctx); err != nil {
		_ = inner.Close()
		return nil, err
	}
	return one, nil
}

// session is what the driver's connection can do.
type session interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
	driver.NamedValueChecker
}

type conn struct {
	session
	serving bool
	looked  time.Time
	bad     bool // its server may not serve
}

// readOnly is 0 on a server that takes writes. A member that is cut off from its
// cluster answers with an error.
const readOnly = "SELECT CAST(@@GLOBAL.read_only AS CHAR)"

// look asks the server whether it may serve.
func (c *conn) look(ctx context.Context) error {
	if !c.serving {
		return nil
	}
	rows, err := c.session.QueryContext(ctx, readOnly, nil)
	if err != nil {
		return c.seen(err)
	}
	value := make([]driver.Value, 1)
	err = rows.Next(value)
	if cerr := rows.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return c.seen(err)
	}
	if said := text(value[0]); said != "0" && said != "OFF" {
		return c.seen(&mysql.MySQLError{Number: 1290, Message: "read_only is " + said})
	}
	c.looked = time.Now()
	return nil
}

func text(v driver.Value) string {
	if b, ok := v.([]byte); ok {
		return string(b)
	}
	return fmt.Sprint(v)
}

// seen notes what an error says of the server.
func (c *conn) seen(err error) error {
	err = explain(err)
	var away *elsewhere
	if errors.As(err, &away) {
		c.bad = true
	}
	return err
}

// elsewhere is the answer of a server that may not serve. To database/sql it is a bad
// connection, so that a statement outside of a transaction is done on another one.
type elsewhere struct{ error }

func (e *elsewhere) Unwrap() error        { return e.error }
func (e *elsewhere) Is(target error) bool { return target == driver.ErrBadConn }

// explain gives an error of the server its row of the table; others stay as they are.
func explain(err error) error {
	if err == nil || Number(err) == 0 {
		return err
	}
	f := Fault(err)
	if f.Kind == dberror.Elsewhere {
		return &elsewhere{f.Explain(err)}
	}
	return f.Explain(err)
}

// ResetSession looks again before a connection is used again.
func (c *conn) ResetSession(ctx context.Context) error {
	if c.bad {
		return driver.ErrBadConn
	}
	if err := c.session.ResetSession(ctx); err != nil {
		return err
	}
	if !c.serving || time.Since(c.looked) < lookEvery {
		return nil
	}
	if c.look(ctx) != nil {
		return driver.ErrBadConn
	}
	return nil
}

// IsValid keeps a connection that is no longer of use out of the pool.
func (c *conn) IsValid() bool { return !c.bad && c.session.IsValid() }

// Prepare is for callers without a context.
func (c *conn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

// PrepareContext gives a statement whose errors are seen as well.
func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s, err := c.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return &stmt{s, c, query}, nil
}

func (c *conn) prepare(ctx context.Context, query string) (prepared, error) {
	s, err := c.session.PrepareContext(ctx, query)
	if err != nil {
		return nil, c.seen(err)
	}
	whole, ok := s.(prepared)
	if !ok {
		_ = s.Close()
		return nil, errors.New("mysql: the driver's statement lacks what evalq needs of it")
	}
	return whole, nil
}

// ExecContext is the session's.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	res, err := c.session.ExecContext(ctx, query, args)
	return res, c.seen(err)
}

// QueryContext is the session's.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.session.QueryContext(ctx, query, args)
	return rows, c.seen(err)
}

// BeginTx is the session's.
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	tx, err := c.session.BeginTx(ctx, opts)
	return tx, c.seen(err)
}

// prepared is what the driver's statement can do.
type prepared interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
	driver.NamedValueChecker
	driver.ColumnConverter
}

type stmt struct {
	prepared
	c     *conn
	query string
}

// ExecContext is the statement's.
func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	res, err := s.prepared.ExecContext(ctx, args)
	s.renew(ctx, err)
	return res, s.c.seen(err)
}

// QueryContext is the statement's.
func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := s.prepared.QueryContext(ctx, args)
	s.renew(ctx, err)
	return rows, s.c.seen(err)
}

// renewWithin bounds how long a statement is prepared again.
const renewWithin = 5 * time.Second

// renew prepares a statement again whose value was refused. The server keeps the error
// of a value that was sent in parts (COM_STMT_SEND_LONG_DATA) with the statement, and
// answers each later execution with it, whatever its values are.
func (s *stmt) renew(ctx context.Context, err error) {
	if Number(err) == 0 || Fault(err).Kind != dberror.Value {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewWithin)
	defer cancel()
	fresh, err := s.c.prepare(ctx, s.query)
	if err != nil {
		s.c.bad = true
		return
	}
	_ = s.prepared.Close()
	s.prepared = fresh
}
