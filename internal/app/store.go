package app

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"evalq/internal/config"
	"evalq/internal/doctor"
	"evalq/internal/folder"
	"evalq/internal/ledger"
	"evalq/internal/ledger/mysql"
	"evalq/internal/ledger/postgres"
	"evalq/internal/ledger/sqlite"
)

// store is an open ledger, whichever database it is in.
type store struct {
	*ledger.Ledger
	place    string // for people, without secrets
	shared   bool   // other processes may use it too
	database doctor.Database
	house    keeper
	// listen wakes a relay when clients of the database have submitted; nil where
	// the database cannot tell.
	listen func(ctx context.Context, wake func()) error
	close  func() error
}

// beat is how often a worker shows that it lives: where nobody else could take
// its jobs over, it is only for people to see.
func (s *store) beat() time.Duration {
	if s.shared {
		return time.Second
	}
	return 5 * time.Second
}

func openStore(ctx context.Context, cfg config.Config, lc *ledger.Config, log *slog.Logger) (*store, error) {
	switch {
	case strings.HasPrefix(cfg.LedgerURL, "mysql://"):
		db, err := mysql.Open(ctx, cfg.LedgerURL, true, lc)
		if err != nil {
			return nil, err
		}
		return &store{Ledger: db.Ledger, place: "MySQL, " + db.Place, shared: true, database: db, house: db, close: db.Close}, nil
	case cfg.LedgerURL != "":
		db, err := postgres.Open(ctx, cfg.LedgerURL, true, lc)
		if err != nil {
			return nil, err
		}
		return &store{Ledger: db.Ledger, place: "PostgreSQL, " + db.Place, shared: true, database: db, house: db, close: db.Close,
			listen: func(ctx context.Context, wake func()) error { return postgres.Listen(ctx, cfg.LedgerURL, wake) }}, nil
	}
	db, err := sqlite.Open(ctx, cfg.DataDir, lc)
	if err != nil {
		return nil, err
	}
	if mode, readable, err := folder.Readable(cfg.DataDir); err == nil && readable {
		log.Warn("other users of this machine can look into the data folder", "folder", cfg.DataDir, "mode", fmt.Sprintf("%04o", mode))
	}
	if db.Lost > 0 {
		log.Info("jobs that ran when the process before ended are delivered again", "jobs", db.Lost)
	}
	return &store{Ledger: db.Ledger, place: "SQLite in " + cfg.DataDir, database: db, house: db, close: db.Close}, nil
}
