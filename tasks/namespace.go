package tasks

import "strings"

// Namespace begins the names that an evalq gives its queues and keys in Redis, so
// that several of them, each with a ledger of its own, can share one Redis. The
// empty one adds nothing.
type Namespace string

// Messages is the queue in which package mq keeps messages. It is no priority of a
// job, and evalq's workers take nothing from it.
const Messages Priority = "mq"

// Queue is the name of a priority's queue in Asynq, such as "staging:default".
func (n Namespace) Queue(p Priority) string { return n.begin() + string(p) }

// Priority is the inverse of Queue; ok is false for a queue that is not of this
// namespace.
func (n Namespace) Priority(queue string) (p Priority, ok bool) {
	rest, ok := strings.CutPrefix(queue, n.begin())
	p = Priority(rest)
	if !ok || p == "" || p.Validate() != nil {
		return "", false
	}
	return p, true
}

// Key is the name of one of evalq's own keys, such as "evalq:staging:epoch".
func (n Namespace) Key(name string) string { return "evalq:" + n.begin() + name }

func (n Namespace) begin() string {
	if n == "" {
		return ""
	}
	return string(n) + ":"
}
