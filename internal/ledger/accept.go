package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"evalq/tasks"
)

// acceptChunk bounds how many requests of one caller share one write, so that
// a large import does not hold up others.
const acceptChunk = 100

// Accept commits a request and returns its job. Created is false when the job
// exists and was not revived. By the natural key (kind, user, report):
//
//   - no job: the first revision;
//   - dead: revived with a fresh budget, at the request's time and in its queue,
//     unless the request is passive;
//   - cancelled: left alone, unless the request asks for it anew;
//   - succeeded, skipped or running on another content of the interview than
//     the present one: the next revision. A custom kind's content is its data;
//   - else the job that exists. While it is under way the earlier time and the
//     more urgent queue win, and Job.Changed says what was brought forward.
//
// Bad input is a *tasks.InvalidError.
func (l *Ledger) Accept(ctx context.Context, r tasks.Request, who string) (tasks.Job, bool, error) {
	out := l.AcceptMany(ctx, []tasks.Request{r}, who)
	return out[0].Job, out[0].Created, out[0].Err
}

// AcceptMany accepts each request for itself and answers in their order.
func (l *Ledger) AcceptMany(ctx context.Context, rs []tasks.Request, who string) []tasks.Accepting {
	out := make([]tasks.Accepting, 0, len(rs))
	for start := 0; start < len(rs); start += acceptChunk {
		out = append(out, l.acceptSome(ctx, rs[start:min(start+acceptChunk, len(rs))], who)...)
	}
	return out
}

func (l *Ledger) acceptSome(ctx context.Context, rs []tasks.Request, who string) []tasks.Accepting {
	out := make([]tasks.Accepting, len(rs))
	asks, index := make([]*ask, 0, len(rs)), make([]int, 0, len(rs))
	for i, r := range rs {
		if err := r.Validate(); err != nil {
			out[i].Err = &tasks.InvalidError{Err: err}
			continue
		}
		asks, index = append(asks, newAsk(r, who)), append(index, i)
	}
	if len(asks) == 0 {
		return out
	}
	failed := l.w.accept(ctx, asks)
	for n, i := range index {
		err := failed
		if err == nil {
			err = asks[n].err
		}
		if err != nil {
			out[i].Err = fmt.Errorf("ledger: accept: %w", err)
			continue
		}
		// The write makes answers of its own: when the caller gives up, it goes on.
		out[i].Job, out[i].Created = asks[n].job.Job, asks[n].created
	}
	return out
}

func (l *Ledger) accept(t *txn, r tasks.Request, who string) (*job, bool, error) {
	kind := r.Payload.Kind()
	user, report := r.Payload.Subject()
	j, err := t.find(`kind = ? AND user_id = ? AND report_id = ? ORDER BY revision DESC LIMIT 1`, kind, user, report)
	if err != nil {
		return nil, false, err
	}
	if j == nil {
		j, err = l.insert(t, r, 1, who)
		return j, true, err
	}
	hash, err := l.contentHash(t, r.Payload)
	if err != nil {
		return nil, false, err
	}
	next, created, err := l.resubmit(t, j, r, hash, who)
	if err != nil {
		return nil, false, err
	}
	if next {
		j, err = l.insert(t, r, j.Revision+1, who)
		return j, true, err
	}
	return j, created, nil
}

// resubmit does to an existing job what another submission of its key asks for.
// Next is set when that is the next revision, which the caller inserts. Hash is
// that of the content as it is now.
func (l *Ledger) resubmit(t *txn, j *job, r tasks.Request, hash, who string) (next, created bool, err error) {
	// An interview that is not there tells nothing. A finished job that began
	// without one saw it arrive midway; nobody knows in which form.
	changed := hash != "" && hash != j.InputHash
	switch {
	case j.State == tasks.Cancelled && !r.Anew, j.State == tasks.Dead && r.Passive:
		return false, false, nil
	case changed && (j.State == tasks.Succeeded || j.State == tasks.Skipped || j.State == tasks.Running || !j.Kind.Builtin()):
		return true, false, nil
	case j.State == tasks.Dead || j.State == tasks.Cancelled:
		return false, true, l.revive(t, j, r, who)
	}
	return false, false, l.bringForward(t, j, r, who)
}

func (l *Ledger) insert(t *txn, r tasks.Request, revision int, who string) (*job, error) {
	j := l.newJob(r, revision)
	return j, l.insertJob(t, j, who, submitted)
}

// insertJob stores a new job with the first event of its history.
func (l *Ledger) insertJob(t *txn, j *job, who, why string) (err error) {
	if j.seq, err = t.insert(`INSERT `+intoJobs, j.values()...); err != nil {
		return err
	}
	t.after = append(t.after, l.notices.wake)
	return l.event(t, j.ID, "", tasks.Accepted, who, why)
}

func (l *Ledger) newJob(r tasks.Request, revision int) *job {
	now := l.now()
	j := &job{deadRetried: -1, movedAt: ms(now)}
	j.ID, j.Kind, j.Revision = tasks.NewID(now), r.Payload.Kind(), revision
	j.UserID, j.ReportID = r.Payload.Subject()
	j.Priority, j.State, j.Delivery, j.Run = r.Priority, tasks.Accepted, 1, 1
	if j.Priority == "" {
		j.Priority = tasks.Default
	}
	j.Budget = l.cfg.Policies(j.Kind).Attempts
	j.AcceptedAt, j.DueAt = now, l.dueFor(r)
	if c, ok := r.Payload.(tasks.Custom); ok {
		j.Data, j.InputHash = c.Data, dataHash(c.Data)
	}
	return j
}

// dueFor is when the relay may hand the job out; zero means now.
func (l *Ledger) dueFor(r tasks.Request) (due time.Time) {
	if r.RunAt.After(l.now()) {
		return r.RunAt.UTC()
	}
	return due
}

const hashOfInterview = `SELECT hash FROM evalq_interviews WHERE report_id = ? AND user_id = ?`

// contentHash identifies what an attempt would evaluate now. It is empty when
// the interview is not there.
func (l *Ledger) contentHash(t *txn, p tasks.Payload) (string, error) {
	if c, ok := p.(tasks.Custom); ok {
		return dataHash(c.Data), nil
	}
	user, report := p.Subject()
	var hash string
	_, err := t.row([]any{&hash}, hashOfInterview, report, user)
	return hash, err
}

func dataHash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
