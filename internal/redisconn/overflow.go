package redisconn

// Package mq writes what follows, and the relay and the doctor read it.

// FieldType is a field beside Asynq's in a task's hash: the type of a message of
// package mq that was set aside.
const FieldType = "evalq_mq_type"

// OverflowKey is the list of messages that had to leave the archive of a queue of
// package mq, the oldest first, each as Asynq stored it. Evaluations have a list of
// their own, so that no flood of other types takes their place.
func OverflowKey(queue string, evaluations bool) string {
	if evaluations {
		return "evalq:{" + queue + "}:overflow:evaluations"
	}
	return "evalq:{" + queue + "}:overflow:others"
}

// OverflowCount is a hash of what is known of both lists. Its fields are
// OverflowBytes with the key of a list, and OverflowDropped.
func OverflowCount(queue string) string { return "evalq:{" + queue + "}:overflow:count" }

const (
	// OverflowDropped counts messages that found no room in their list.
	OverflowDropped = "dropped"
	// OverflowDroppedAt is when that was last, in seconds since 1970.
	OverflowDroppedAt = "dropped_at"
)
