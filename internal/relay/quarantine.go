package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// QuarantinedTask is what was found of a task that nobody can work on.
type QuarantinedTask struct {
	Queue  string
	TaskID string
	Reason string
	Body   []byte // its message as Asynq had it; empty when that is gone
}

// Why a task is set aside.
const (
	reasonGone       = "its message is gone"
	reasonUnreadable = "its message cannot be read"
	reasonAnother    = "its message is that of another task"
	reasonTrimmed    = "it was among the oldest of a full archive"
)

// quarantineKey is a hash that takes what nobody else does.
const quarantineKey = "evalq:quarantine"

// quarantine keeps a task before it is removed from Asynq.
func (r *Relay) quarantine(ctx context.Context, q QuarantinedTask) error {
	r.cfg.Logger.Warn("a task was set aside", "queue", q.Queue, "task_id", q.TaskID, "reason", q.Reason)
	if r.cfg.Quarantine != nil {
		if err := r.cfg.Quarantine(ctx, q); err != nil {
			return fmt.Errorf("relay: quarantine %s: %w", q.TaskID, err)
		}
		return nil
	}
	kept, err := json.Marshal(struct {
		Queue  string    `json:"queue"`
		TaskID string    `json:"task_id"`
		Reason string    `json:"reason"`
		Body   []byte    `json:"body"`
		At     time.Time `json:"at"`
	}{q.Queue, q.TaskID, q.Reason, q.Body, time.Now().UTC()})
	if err != nil {
		return fmt.Errorf("relay: quarantine %s: %w", q.TaskID, err)
	}
	if err := r.rdb.HSet(ctx, quarantineKey, q.Queue+"/"+q.TaskID, kept).Err(); err != nil {
		return fmt.Errorf("relay: quarantine %s: %w", q.TaskID, err)
	}
	return nil
}
