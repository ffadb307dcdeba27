package ledger

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"evalq/internal/dberror"
	"evalq/tasks"
)

// fault finds what an error means; see Dialect.Fault.
func (d *Dialect) fault(err error) dberror.Fault {
	if known, ok := dberror.Of(err); ok {
		return known
	}
	if d.Fault == nil {
		return dberror.Fault{}
	}
	return d.Fault(err)
}

// explain gives an error of the driver the words of its row.
func (d *Dialect) explain(err error) error {
	if err == nil {
		return nil
	}
	return d.fault(err).Explain(err)
}

// again reports whether a transaction failed because another one was in its way: a
// deadlock, a lock that took too long, a key that was just taken. Doing it again finds
// another state.
func (d *Dialect) again(err error) bool { return err != nil && d.fault(err).Kind.Repeatable() }

// waited reports whether that was a lock which another transaction holds.
func (d *Dialect) waited(err error) bool { return err != nil && d.fault(err).Kind == dberror.Locked }

// answered reports whether the database itself refused, so that the outcome is known and
// the connection is of use.
func (d *Dialect) answered(err error) bool { return d.OneOwner || d.fault(err).Kind.Answered() }

// verdict is what a caller learns of a write that was given up. What the database never
// takes is the caller's own mistake, and no longer a ledger that is away.
func (d *Dialect) verdict(err error) error {
	if err == nil || d.Fault == nil {
		return err
	}
	switch d.fault(err).Kind {
	case dberror.Value:
		var said *dberror.Error
		if !errors.As(err, &said) {
			// Its text may quote the value.
			return &tasks.InvalidError{Err: fmt.Errorf("%w: %w", tasks.ErrRefused, d.fault(err).Explain(errValue))}
		}
		return &tasks.InvalidError{Err: fmt.Errorf("%w: %w", tasks.ErrRefused, said)}
	case dberror.Denied, dberror.Absent, dberror.Unknown:
		return &refusedNow{err}
	}
	return err
}

var errValue = errors.New("the value is refused")

// refusedNow is an answer of the database that an operator may change, and time alone
// probably does not.
type refusedNow struct{ error }

func (e *refusedNow) Unwrap() error        { return e.error }
func (e *refusedNow) Is(target error) bool { return target == tasks.ErrRefused }

// refusals is what the writer remembers of such answers.
type refusals struct {
	mu          sync.Mutex
	first, last time.Time
	err         error
}

const (
	// refusedAfter is how long writes are refused before readiness says so; a gap as
	// long as refusedGap ends it.
	refusedAfter, refusedGap = 3 * time.Second, 15 * time.Second
)

func (r *refusals) note(err error) {
	var now *refusedNow
	if !errors.As(err, &now) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	at := time.Now()
	if at.Sub(r.last) > refusedGap {
		r.first = at
	}
	r.last, r.err = at, err
}

// since is the error of writes that are refused again and again, nil when there are
// none.
func (r *refusals) since() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil || time.Since(r.last) > refusedGap || r.last.Sub(r.first) < refusedAfter {
		return nil
	}
	return fmt.Errorf("ledger: writes have been refused for %s: %w", r.last.Sub(r.first).Round(time.Second), r.err)
}
