package relay

import (
	"context"

	"evalq/tasks"
)

// brokenTask is a task that nobody can work on.
type brokenTask struct {
	queue, id, reason string
	body              []byte // its message as Asynq had it; empty when that is gone
}

// Why a task is set aside.
const (
	reasonGone       = "its message is gone"
	reasonUnreadable = "its message cannot be read"
	reasonAnother    = "its message is that of another task"
	reasonTrimmed    = "it was among the oldest of a full archive"
)

// quarantine keeps a task in the ledger before it is removed from Asynq.
func (r *Relay) quarantine(ctx context.Context, b brokenTask) error {
	r.cfg.Logger.Warn("a task was set aside", "queue", b.queue, "task_id", b.id, "reason", b.reason)
	kept, err := r.ledger.QuarantineMany(ctx, []tasks.Quarantined{{Source: "asynq", Queue: b.queue, TaskID: b.id, Reason: b.reason}}, [][]byte{b.body}, 0)
	if err == nil && kept == 0 {
		r.cfg.Logger.Error("a task was dropped: the quarantine has too many of Asynq", "queue", b.queue, "task_id", b.id)
	}
	return err
}
