package platform

import (
	"errors"
	"fmt"

	"github.com/go-sql-driver/mysql"

	"evalq/tasks"
)

// storage gives an error of the database its class: transient, but for a value
// that the server will never take.
func storage(doing string, err error) error {
	class := tasks.ClassStorage
	switch n := number(err); n {
	// A value that does not fit its column or its character set. The server's own
	// words quote it.
	case 1048, 1062, 1264, 1265, 1292, 1364, 1366, 1406, 3140, 3141, 3819, 4025:
		class, err = tasks.ClassInternal, fmt.Errorf("the server refuses the value (error %d)", n)
	}
	return tasks.NewError(class, fmt.Errorf("platform: %s: %w", doing, err))
}

// number is that of the server's refusal, 0 when it is none.
func number(err error) uint16 {
	var me *mysql.MySQLError
	if errors.As(err, &me) {
		return me.Number
	}
	return 0
}

// inTheWay: a lock that took too long, a deadlock, and rows that changed since
// they were read (MariaDB's innodb_snapshot_isolation).
func inTheWay(err error) bool {
	switch number(err) {
	case 1205, 1213, 1020:
		return true
	}
	return false
}
