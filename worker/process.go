package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"

	"evalq/tasks"
)

// HeaderLedger is the task header that names the ledger a task belongs to.
const HeaderLedger = "evalq-ledger"

// lockedDelay is when a task comes back whose job another transaction had locked.
const lockedDelay = time.Second

// passedOn is the text of a task whose job another worker is to have.
const passedOn = "this worker has no handler for the kind; another worker has"

// again is a failure that Asynq retries after a delay that the ledger computed.
type again struct {
	delay   time.Duration
	charged bool
	text    string
}

func (e *again) Error() string { return e.text }

// archive is an error that makes Asynq archive the task, and shows its text
// alone.
type archive struct{ text string }

func (e *archive) Error() string        { return e.text }
func (e *archive) Is(target error) bool { return target == asynq.SkipRetry }

// process is one arrival of a task. Nil acknowledges it.
func (s *Server) process(ctx context.Context, t *asynq.Task) error {
	s.mu.Lock()
	s.arrivals++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.arrivals--
		s.mu.Unlock()
	}()
	// Asynq frees its own slot when it loses a lease, while the handler still
	// runs. Ours is free when the handler has returned.
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return &again{delay: time.Second, text: "no slot was free"}
	}
	defer func() { <-s.slots }()

	taskID, _ := asynq.GetTaskID(ctx)
	owner := t.Headers()[HeaderLedger]
	if owner != "" && owner != s.ledger.ID() {
		s.cfg.Logger.Warn("a task of another ledger was set aside", "task_id", taskID, "ledger", owner)
		return &archive{fmt.Sprintf("the task belongs to ledger %.40q, this one is %q; it was not begun", owner, s.ledger.ID())}
	}
	jobID, delivery, err := tasks.ParseTaskID(taskID)
	if owner == "" || err != nil {
		return s.adopt(ctx, t)
	}
	retried, _ := asynq.GetRetryCount(ctx)
	// Without a deadline: an answer that is not known would leave an attempt on
	// record that nobody runs. The ledger bounds its own commits.
	d := tasks.Delivery{Job: jobID, Number: delivery, Worker: s.id, Kinds: s.kinds, Retried: retried}
	if kind := tasks.Kind(t.Type()); !d.Handles(kind) {
		if delay, ok := s.others.delay(kind, time.Now()); ok {
			return &again{delay: delay, text: passedOn}
		}
	}
	claim, err := s.begin(ctx, d)
	if err == nil && claim.Outcome == tasks.Doubtful && s.archivedSince(ctx, taskID, claim.Job.FinishedAt) {
		d.Forced = true
		claim, err = s.begin(ctx, d)
	}
	if err != nil {
		s.cfg.Logger.Warn("a job could not be begun", "task_id", taskID, "err", err)
		return &again{delay: 5 * time.Second, text: "the ledger could not be reached"}
	}
	switch claim.Outcome {
	case tasks.Mine:
		return s.attempt(claim, s.queueOf(ctx), retried)
	case tasks.Buried, tasks.Doubtful:
		return &archive{lastWords(claim.Job)}
	case tasks.Forged:
		return s.setAside(ctx, t, "the ledger has not handed out a delivery of this number; the job goes on by its own task")
	case tasks.Locked:
		s.cfg.Logger.Info("a job is locked by another transaction; its task is delivered again", "task_id", taskID)
		return &again{delay: lockedDelay, text: "another transaction has locked the job"}
	case tasks.Others:
		if s.others.note(claim.Job.Kind, time.Now()) {
			s.cfg.Logger.Info("this worker has no handler for a kind; it leaves its jobs to workers that have one", "worker", s.id, "kind", claim.Job.Kind)
		}
		delay, _ := s.others.delay(claim.Job.Kind, time.Now())
		return &again{delay: delay, text: passedOn}
	case tasks.Unknown:
		if !tasks.Kind(t.Type()).Builtin() {
			return &archive{"the ledger does not know the job, and the task does not carry its data; submit it again"}
		}
		// A restored backup does not know what was submitted since.
		return s.adopt(ctx, t)
	}
	return nil
}

// queueOf is the queue that a task is in, as the ledger calls it; empty for one of
// another name.
func (s *Server) queueOf(ctx context.Context) tasks.Priority {
	queue, _ := asynq.GetQueueName(ctx)
	p, _ := s.cfg.Namespace.Priority(queue)
	return p
}

// begin asks the ledger until it answers, when the answer was lost: an attempt
// may be on record that nobody runs.
func (s *Server) begin(ctx context.Context, d tasks.Delivery) (tasks.Claim, error) {
	unknown, began := false, time.Now()
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		claim, err := s.ledger.Begin(context.WithoutCancel(ctx), d)
		unknown = unknown || errors.Is(err, tasks.ErrOutcomeUnknown)
		// That a later question could not be asked does not answer the first one.
		open := errors.Is(err, tasks.ErrOutcomeUnknown) || unknown && errors.Is(err, tasks.ErrUnavailable)
		if !open || s.refuses(err, began) || !lull(ctx, s.writing, wait) {
			return claim, err
		}
		d.Again = !s.works(d.Job)
	}
}

// lull waits, and reports false when it was cut short.
func lull(ctx, other context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-other.Done():
	}
	return false
}

// archivedSince asks Asynq whether the task failed at or after the moment at
// which the ledger gave the job up: then it was archived, and somebody ran it by
// hand. In a Redis that came back with older data its last failure is an earlier
// one. Asynq keeps whole seconds.
func (s *Server) archivedSince(ctx context.Context, taskID string, dead time.Time) bool {
	queue, _ := asynq.GetQueueName(ctx)
	info, err := asynq.NewInspectorFromRedisClient(s.rdb).GetTaskInfo(queue, taskID)
	return err == nil && !info.LastFailedAt.IsZero() && !info.LastFailedAt.Before(dead.Truncate(time.Second))
}

func lastWords(j tasks.Job) string {
	if j.Error == nil {
		return "the job is dead"
	}
	return string(j.Error.Class) + ": " + clip(j.Error.Message)
}

// adopt takes a task into the ledger that did not come from it: a plain Asynq
// producer's. It is acknowledged when the ledger has it.
func (s *Server) adopt(ctx context.Context, t *asynq.Task) error {
	taskID, _ := asynq.GetTaskID(ctx)
	queue, _ := asynq.GetQueueName(ctx)
	// Its sender cannot be told that no worker handles the kind, so the ledger holds
	// the job then.
	p, err := tasks.Parse(tasks.Kind(t.Type()), t.Payload())
	if err != nil {
		return s.setAside(ctx, t, fmt.Sprintf("%s: %v", tasks.ClassInvalidPayload, err))
	}
	// A task that Asynq brought back was adopted before, as far as anybody
	// knows: it is the old wish, not a new one.
	retried, _ := asynq.GetRetryCount(ctx)
	r := tasks.Request{Payload: p, Priority: tasks.Default, Passive: retried > 0}
	if p, ours := s.cfg.Namespace.Priority(queue); ours {
		r.Priority = p
	}
	job, created, err := s.ledger.Accept(context.WithoutCancel(ctx), r, "adopted by "+s.id)
	var invalid *tasks.InvalidError
	if errors.As(err, &invalid) {
		return s.setAside(ctx, t, fmt.Sprintf("%s: %v", tasks.ClassInvalidPayload, err))
	}
	if err != nil {
		s.cfg.Logger.Warn("a task could not be adopted", "task_id", clip(taskID), "err", err)
		return &again{delay: 5 * time.Second, text: "the ledger could not be reached"}
	}
	s.cfg.Logger.Info("a task was adopted", "task_id", clip(taskID), "job", job.Ref(), "created", created)
	return nil
}

// setAside keeps a task that cannot be taken in the ledger's quarantine, which
// outlives Redis, and lets Asynq archive it.
func (s *Server) setAside(ctx context.Context, t *asynq.Task, why string) error {
	taskID, _ := asynq.GetTaskID(ctx)
	queue, _ := asynq.GetQueueName(ctx)
	q := tasks.Quarantined{Source: "asynq", Queue: clip(queue), TaskID: clip(taskID), Reason: clip(why)}
	if err := s.ledger.Quarantine(context.WithoutCancel(ctx), q, t.Payload()); err != nil {
		s.cfg.Logger.Warn("a task could not be quarantined", "task_id", clip(taskID), "err", err)
		return &again{delay: 5 * time.Second, text: "the ledger could not be reached"}
	}
	s.cfg.Logger.Warn("a task that cannot be taken was set aside", "task_id", clip(taskID), "reason", clip(why))
	return &archive{clip(why)}
}

// clip bounds what goes into Redis and logs.
func clip(s string) string {
	const most = 1000
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && s[cut]&0xC0 == 0x80 {
		cut--
	}
	return s[:cut] + "…"
}
