package postgres

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"evalq/internal/dberror"
)

// fault finds what an error means. A transaction of a caller's may come from another
// driver than ours; they have the method SQLState in common. What is no answer of the
// server is a connection that broke, but for a value that the driver cannot send.
func fault(err error) dberror.Fault {
	if known, ok := dberror.Of(err); ok {
		return known
	}
	var refused interface{ SQLState() string }
	if !errors.As(err, &refused) {
		text := err.Error()
		if strings.Contains(text, "failed to encode args") || strings.Contains(text, "extended protocol limited") || strings.Contains(text, "sql: converting argument") {
			return dberror.Fault{Kind: dberror.Value, Code: "driver"}
		}
		return dberror.Fault{Kind: dberror.Lost, Code: "no answer"}
	}
	var pe *pgconn.PgError
	ours := errors.As(err, &pe)
	if ours && pe.Code == "0A000" && pe.Routine == "RevalidateCachedQuery" {
		// A plan that a migration made stale.
		return dberror.Fault{Kind: dberror.InTheWay, Code: "SQLSTATE " + pe.Code}
	}
	return dberror.Postgres(refused.SQLState(), ours && (pe.Severity == "FATAL" || pe.Severity == "PANIC"))
}
