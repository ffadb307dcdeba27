package relay

import (
	"context"

	"github.com/hibiken/asynq"

	"evalq/tasks"
)

// takeUp brings into a restored ledger the jobs that it has forgotten and that
// no worker will ask about soon: those that ended after the copy was made, of
// which Redis remembers the task, and those that a worker had taken. Tasks that
// wait need no such care, since the worker adopts them on their arrival. It is
// done once for each restoration.
func (r *Relay) takeUp(ctx context.Context) error {
	restored, err := r.ledger.Restored(ctx)
	if err != nil || !restored {
		return err
	}
	total := 0
	for _, p := range tasks.Priorities() {
		n, err := r.takeUpFrom(ctx, p)
		total += n
		if err != nil {
			return err
		}
	}
	r.cfg.Logger.Info("the ledger was restored from a backup; what Redis remembers of the time since is evaluated anew", "jobs", total)
	return r.ledger.TookUp(ctx)
}

// takeUpFrom does so for one queue. A kind of the platform's own has its data in
// the ledger alone, so it is lost.
func (r *Relay) takeUpFrom(ctx context.Context, p tasks.Priority) (int, error) {
	s := NewSweeper(r.ledger, r.rdb, r.cfg.Namespace)
	last := map[string]*asynq.TaskInfo{} // by job
	var ids []string
	err := s.visit(ctx, s.queues[p], takenLists, func(t *asynq.TaskInfo) {
		id, _, err := tasks.ParseTaskID(t.ID)
		if err != nil || t.Headers[HeaderLedger] != r.ledger.ID() || !tasks.Kind(t.Type).Builtin() {
			return
		}
		if last[id] == nil {
			ids = append(ids, id)
		}
		last[id] = t
	})
	if err != nil {
		return 0, err
	}
	forgotten, err := r.ledger.Unknown(ctx, ids)
	if err != nil {
		return 0, err
	}
	var requests []tasks.Request
	var old []string
	for _, id := range forgotten {
		payload, err := tasks.Parse(tasks.Kind(last[id].Type), last[id].Payload)
		if err != nil {
			continue
		}
		// Passive: it is an old wish. Whatever the ledger has decided on it stands.
		requests = append(requests, tasks.Request{Payload: payload, Priority: p, Passive: true})
		old = append(old, last[id].ID)
	}
	for _, a := range r.ledger.AcceptMany(ctx, requests, "relay, after a restoration") {
		if a.Err != nil {
			return 0, a.Err
		}
	}
	_, err = s.remove(ctx, s.queues[p], old, false)
	return len(old), err
}
