package tasks

import "time"

// SourceEvaluations is the source of dead evaluations of package mq that found no room
// in their archive any more. They can be tried again.
const SourceEvaluations = "mq_evaluations"

// Quarantined is something that came in and cannot be read. It is kept until a
// person has dealt with it. What it holds may be personal data and is not part of
// this.
type Quarantined struct {
	ID     int64     `json:"id"`
	At     time.Time `json:"at"`
	Source string    `json:"source"` // where it came from, such as "asynq"
	Queue  string    `json:"queue,omitempty"`
	TaskID string    `json:"task_id,omitempty"`
	Reason string    `json:"reason"`
	Size   int       `json:"size"` // bytes that are kept of it

	SettledAt time.Time `json:"settled_at,omitzero"`
	Settled   string    `json:"settled,omitempty"` // who dealt with it, and how
}
