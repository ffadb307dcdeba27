// Package dberror says what the errors of the databases mean: whether the same
// statement may do later, on this server or on another one, or never will. It has the
// one table of them, a row a code of MySQL and MariaDB, PostgreSQL and SQLite. It
// imports no driver; those who have one read the code out of its error.
package dberror

import (
	"errors"
	"fmt"
	"strings"
)

// Kind is what an error of a database means for the statement that met it.
type Kind int

// The kinds. Value is final: the same write is refused for good. The others are
// transient, Denied, Absent and Unknown with a bound that the caller sets, since only
// an operator ends the first two and the last may be anything.
const (
	// Unknown: the server has answered with a code that has no row.
	Unknown Kind = iota
	// Lost: the connection broke, or the server ends it. Without an answer to a COMMIT
	// its outcome is not known.
	Lost
	// Elsewhere: this server may not serve, such as one that is read-only; another
	// connection may find the one that does.
	Elsewhere
	// InTheWay: another transaction was in the way, such as in a deadlock. Duplicate:
	// it has just stored the same key. Locked: it holds a lock.
	InTheWay
	Duplicate
	Locked
	// Passing: the server lacks room, memory, connections or time.
	Passing
	// Denied: rights or settings of the server are in the way.
	Denied
	// Absent: the database, a table or a column is not there.
	Absent
	// Outside: the statement needs a transaction, and there is none.
	Outside
	// Value: the value is refused, by its size, form or range.
	Value
)

// Answered reports whether the server refused and the connection is of use.
func (k Kind) Answered() bool { return k != Lost && k != Elsewhere }

// Repeatable reports whether the same transaction, done again at once, finds another
// state.
func (k Kind) Repeatable() bool { return k == InTheWay || k == Duplicate || k == Locked }

// Fault is a row of the table.
type Fault struct {
	Kind Kind
	Code string // "error 1665", "SQLSTATE 25006"
	What string // what is wrong, empty when the server says it best
	Do   string // the remedy, empty when there is none to tell
}

// Error is a database's error with what it means. Its text has no part of a value:
// where the server would quote one, the table's own words stand in its place.
type Error struct {
	Fault
	err error
}

// Explain gives err the words of its row. An error that has been explained stays as it
// is.
func (f Fault) Explain(err error) error {
	var done *Error
	if err == nil || errors.As(err, &done) {
		return err
	}
	return &Error{f, err}
}

// Of finds the row of an error that was explained.
func Of(err error) (Fault, bool) {
	var e *Error
	if !errors.As(err, &e) {
		return Fault{}, false
	}
	return e.Fault, true
}

// Error says what is wrong, then what to do.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.What)
	if e.Kind == Value {
		if e.What == "" {
			b.WriteString("the database does not take the value")
		}
		fmt.Fprintf(&b, " (%s)", e.Code)
	} else {
		if e.What != "" {
			b.WriteString(": ")
		}
		b.WriteString(clip(e.err.Error()))
	}
	if e.Do != "" {
		b.WriteString("; " + e.Do)
	}
	return b.String()
}

// Unwrap gives the driver's error, whose text may quote a value.
func (e *Error) Unwrap() error { return e.err }

// Remedy is what to do, empty when there is nothing to tell.
func (e *Error) Remedy() string { return e.Do }

const mostText = 300

func clip(s string) string {
	if len(s) <= mostText {
		return s
	}
	return strings.ToValidUTF8(s[:mostText], "") + "…"
}
