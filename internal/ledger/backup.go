package ledger

import (
	"context"
	"fmt"
	"os"

	"evalq/tasks"
)

// BackupError says that a ledger is not evalq's to copy. It is a
// tasks.ErrConflict.
type BackupError struct{ dialect string }

// Error says with what to copy it, and why.
func (e *BackupError) Error() string {
	database, tool := "PostgreSQL", "pg_dump or that server's own backups"
	if e.dialect == "mysql" {
		database, tool = "MySQL", "mariadb-dump --single-transaction (mysqldump), or that server's own backups"
	}
	return fmt.Sprintf("the ledger is in a %s database: copy it with %s; that server alone can copy it as of one moment and put it back with its own rights and settings", database, tool)
}

// Unwrap is tasks.ErrConflict.
func (e *BackupError) Unwrap() error { return tasks.ErrConflict }

// ErrBackingUp means that another copy is being made. It is a tasks.ErrConflict.
var ErrBackingUp error = busy{}

type busy struct{}

func (busy) Error() string { return "another backup is being made; ask again when it is done" }
func (busy) Unwrap() error { return tasks.ErrConflict }

// Backup refuses with a *BackupError: a database server has tools of its own.
// Package sqlite has one that copies.
func (l *Ledger) Backup(context.Context) (*os.File, error) {
	return nil, fmt.Errorf("ledger: back up: %w", &BackupError{l.dialect.Name})
}
