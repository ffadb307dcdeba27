package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"time"

	"evalq/internal/api"
	"evalq/internal/relay"
	"evalq/tasks"
)

// keeper is the part of a ledger that a house needs.
type keeper interface {
	ID() string
	Audit(ctx context.Context, e tasks.AuditEntry) error
	Backup(ctx context.Context) (*os.File, error)
}

// scrubber is a ledger that can see to it that what was removed cannot be read
// in its files any more.
type scrubber interface {
	Scrub(ctx context.Context) error
}

// house carries out what operators ask of the ledger as a whole, each with an
// entry in the audit log before it and one of its end.
type house struct {
	ledger  keeper
	sweeper *relay.Sweeper
	filler  *filler
	aside   quarantine
	log     *slog.Logger
}

func (h house) Purge(ctx context.Context, before time.Time, dry bool, who string) (tasks.Removed, error) {
	e := tasks.AuditEntry{Who: who, Action: "ledger.purge", Target: "finished before " + before.Format(time.RFC3339)}
	return h.remove(ctx, e, dry, func() (tasks.Removed, error) { return h.sweeper.Purge(ctx, before, dry) })
}

func (h house) Erase(ctx context.Context, user int64, dry bool, who string) (tasks.Removed, error) {
	e := tasks.AuditEntry{Who: who, Action: "user.erase", Target: fmt.Sprintf("user %d", user)}
	return h.remove(ctx, e, dry, func() (tasks.Removed, error) { return h.sweeper.Erase(ctx, user, dry, who) })
}

func (h house) remove(ctx context.Context, e tasks.AuditEntry, dry bool, do func() (tasks.Removed, error)) (tasks.Removed, error) {
	if dry {
		e.Detail = "dry run"
	}
	if err := h.ledger.Audit(ctx, e); err != nil {
		return tasks.Removed{}, err
	}
	out, err := do()
	if err == nil && out.Done && !dry {
		out.Done = h.scrub(ctx)
	}
	if !dry {
		e.Detail = ending(out, err)
		h.note(ctx, e)
	}
	if errors.Is(err, relay.ErrRedis) {
		err = fmt.Errorf("%w: %w", api.ErrRedisAway, err)
	}
	return out, err
}

// scrub reports whether what was removed cannot be read any more.
func (h house) scrub(ctx context.Context) bool {
	s, ok := h.ledger.(scrubber)
	if !ok {
		return true
	}
	if err := s.Scrub(ctx); err != nil {
		h.log.WarnContext(ctx, "what was removed may still be read in the ledger's log; it is asked for again", "err", err)
		return false
	}
	return true
}

func ending(out tasks.Removed, err error) string {
	counts := fmt.Sprintf("%d jobs, %d interviews, %d tasks in Redis", out.Jobs, out.Interviews, out.Tasks)
	switch {
	case err != nil:
		return "cut off after " + counts
	case !out.Done:
		return "so far " + counts
	}
	return "done: " + counts
}

// note puts the end of something on the audit log. Its beginning is there.
func (h house) note(ctx context.Context, e tasks.AuditEntry) {
	if err := h.ledger.Audit(context.WithoutCancel(ctx), e); err != nil {
		h.log.WarnContext(ctx, "the audit log lacks the outcome of an action", "action", e.Action, "err", err)
	}
}

// quarantine is the part of a ledger where what could not be read waits for a person.
type quarantine interface {
	InQuarantine(ctx context.Context, all bool, limit int) ([]tasks.Quarantined, int, error)
	Replay(ctx context.Context, id, userID, reportID int64, who string) (tasks.Job, error)
	Settle(ctx context.Context, id int64, who, how string) error
}

func (h house) Quarantine(ctx context.Context, all bool, limit int) ([]tasks.Quarantined, int, error) {
	return h.aside.InQuarantine(ctx, all, limit)
}

func (h house) Replay(ctx context.Context, id, userID, reportID int64, who string) (tasks.Job, error) {
	e := tasks.AuditEntry{Who: who, Action: "quarantine.replay", Target: strconv.FormatInt(id, 10)}
	if userID != 0 || reportID != 0 {
		e.Detail = fmt.Sprintf("named user %d report %d", userID, reportID)
	}
	if err := h.ledger.Audit(ctx, e); err != nil {
		return tasks.Job{}, err
	}
	return h.aside.Replay(ctx, id, userID, reportID, who)
}

func (h house) Discard(ctx context.Context, id int64, who string) error {
	if err := h.ledger.Audit(ctx, tasks.AuditEntry{Who: who, Action: "quarantine.discard", Target: strconv.FormatInt(id, 10)}); err != nil {
		return err
	}
	return h.aside.Settle(ctx, id, who, "discarded")
}

func (h house) Backup(ctx context.Context, who string) (io.ReadCloser, int64, error) {
	if err := h.ledger.Audit(ctx, tasks.AuditEntry{Who: who, Action: "ledger.backup", Target: "ledger " + h.ledger.ID()}); err != nil {
		return nil, 0, err
	}
	f, err := h.ledger.Backup(ctx)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}
