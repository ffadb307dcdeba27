package app

import (
	"context"
	"time"

	"evalq/internal/ledger/sqlite"
)

// Backup says what a copy of a ledger is.
type Backup = sqlite.Info

// ErrUnfitBackup means that a file is not a healthy copy of a ledger.
var ErrUnfitBackup = sqlite.ErrUnfit

// InspectBackup reads a copy, all of it, and refuses one that is not whole.
func InspectBackup(ctx context.Context, file string) (Backup, error) {
	return sqlite.Inspect(ctx, file)
}

// Restore puts a copy in the place of the ledger of a data folder that no server
// uses. Force keeps a ledger that is there beside it, else it is refused.
func Restore(ctx context.Context, file, dir string, force bool) (Backup, error) {
	return sqlite.Restore(ctx, file, dir, force, time.Now())
}
