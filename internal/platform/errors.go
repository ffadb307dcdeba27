package platform

import (
	"fmt"

	"evalq/internal/dberror"
	"evalq/internal/mysqlconn"
	"evalq/tasks"
)

// storage gives an error of the database its class: transient, but for a value that the
// server will never take.
func storage(doing string, err error) error {
	class, f := tasks.ClassStorage, mysqlconn.Fault(err)
	if f.Kind == dberror.Value || f.Kind == dberror.Duplicate {
		// The server's own words quote the value.
		class, err = tasks.ClassInternal, fmt.Errorf("the server refuses the value: %w", quiet(f).Explain(errRefused))
	}
	return tasks.NewError(class, fmt.Errorf("platform: %s: %w", doing, f.Explain(err)))
}

var errRefused = fmt.Errorf("refused")

// quiet is f with words of its own for a value, whatever the row says.
func quiet(f dberror.Fault) dberror.Fault {
	f.Kind = dberror.Value
	return f
}

// inTheWay: a lock that took too long, a deadlock, and rows that changed since they were
// read (MariaDB's innodb_snapshot_isolation). A server that may not serve is left for
// another one.
func inTheWay(err error) bool {
	if err == nil {
		return false
	}
	switch mysqlconn.Fault(err).Kind {
	case dberror.InTheWay, dberror.Locked, dberror.Elsewhere:
		return true
	}
	return false
}
