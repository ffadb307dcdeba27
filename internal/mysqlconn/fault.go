// Package mysqlconn makes connections to MySQL and MariaDB that are of use: none to a
// server that is read-only, or that has left its cluster, and none that has become so.
// It also says what the errors of the driver mean.
package mysqlconn

import (
	"errors"
	"strings"

	"github.com/go-sql-driver/mysql"

	"evalq/internal/dberror"
)

// Number is that of the server's refusal, 0 when err is none.
func Number(err error) uint16 {
	var me *mysql.MySQLError
	if errors.As(err, &me) {
		return me.Number
	}
	return 0
}

// Fault finds what an error of the driver means. What is no answer of the server is a
// connection that broke, but for what the driver refuses by itself.
func Fault(err error) dberror.Fault {
	if known, ok := dberror.Of(err); ok {
		return known
	}
	var me *mysql.MySQLError
	switch {
	case errors.As(err, &me):
		return dberror.MySQL(me.Number, me.Message)
	case errors.Is(err, mysql.ErrPktTooLarge):
		return dberror.TooLarge()
	case isAny(err, mysql.ErrNoTLS, mysql.ErrCleartextPassword, mysql.ErrNativePassword, mysql.ErrOldPassword, mysql.ErrUnknownPlugin, mysql.ErrOldProtocol):
		return dberror.Fault{Kind: dberror.Denied, Code: "driver"}
	case strings.Contains(err.Error(), "sql: converting argument"):
		return dberror.Fault{Kind: dberror.Value, Code: "driver"}
	}
	return dberror.Fault{Kind: dberror.Lost, Code: "no answer"}
}

func isAny(err error, targets ...error) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}
