package sqlite

import (
	"errors"

	"evalq/internal/dberror"
	"evalq/internal/ledger"
)

func dialect() ledger.Dialect {
	d := ledger.SQLite()
	d.Fault = fault
	return d
}

// fault finds what an error of the driver means.
func fault(err error) dberror.Fault {
	if known, ok := dberror.Of(err); ok {
		return known
	}
	var coded interface {
		error
		Code() int
	}
	if !errors.As(err, &coded) {
		return dberror.Fault{Kind: dberror.Lost, Code: "no answer"}
	}
	return dberror.SQLite(coded.Code(), coded.Error())
}
