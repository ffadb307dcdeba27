package relay

import (
	"context"

	"github.com/hibiken/asynq"

	"evalq/tasks"
)

// takeUp brings into a restored ledger the jobs that it has forgotten and of
// which Redis remembers only the end: their results were stored after the copy
// was made. Tasks that have not ended need no such care, since the worker adopts
// them on their arrival. It is done once for each restoration.
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

// takeUpFrom looks through what has ended in one queue. A kind of the platform's
// own has its data in the ledger alone, so it is lost.
func (r *Relay) takeUpFrom(ctx context.Context, p tasks.Priority) (int, error) {
	s := NewSweeper(r.ledger, r.rdb)
	ended := map[string][]*asynq.TaskInfo{} // by job
	var ids []string
	err := s.visit(ctx, s.queues[p], endedLists, func(t *asynq.TaskInfo) {
		id, _, err := tasks.ParseTaskID(t.ID)
		if err != nil || t.Headers[HeaderLedger] != r.ledger.ID() || !tasks.Kind(t.Type).Builtin() {
			return
		}
		if ended[id] == nil {
			ids = append(ids, id)
		}
		ended[id] = append(ended[id], t)
	})
	if err != nil {
		return 0, err
	}
	forgotten, err := r.ledger.Unknown(ctx, ids)
	if err != nil {
		return 0, err
	}
	taken := 0
	for _, id := range forgotten {
		payload, err := tasks.Parse(tasks.Kind(ended[id][0].Type), ended[id][0].Payload)
		if err != nil {
			continue
		}
		// Passive: it is an old wish. Whatever the ledger has decided on it stands.
		if _, _, err := r.ledger.Accept(ctx, tasks.Request{Payload: payload, Priority: p, Passive: true}, "relay"); err != nil {
			return taken, err
		}
		taken++
		var old []string
		for _, t := range ended[id] {
			old = append(old, t.ID)
		}
		if _, err := s.remove(ctx, s.queues[p], old, false); err != nil {
			return taken, err
		}
	}
	return taken, nil
}
