package app

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"evalq/internal/evaluation"
	"evalq/internal/ledger"
	"evalq/tasks"
)

// filler submits what nobody has submitted, or what was lost on the way here.
type filler struct {
	ledger *ledger.Ledger
	mirror *mirror // nil without a platform's database
	log    *slog.Logger
}

// lookAtOnce is how many interviews one call looks at.
const lookAtOnce = 500

// need is one result that is missing.
type need struct {
	lack evaluation.Lack
	kind tasks.Kind
	job  tasks.Job // the newest one for it; the zero Job when there is none
	// renew is set when the job has succeeded, the platform can show nothing of it, and
	// the ledger has no result to write: it has to be evaluated anew.
	renew bool
}

// Backfill looks at one page of the interviews.
func (h house) Backfill(ctx context.Context, ask tasks.Backfill, who string) (tasks.Backfilled, error) {
	e := tasks.AuditEntry{Who: who, Action: "ledger.backfill", Target: "interviews of all users"}
	if ask.UserID != 0 {
		e.Target = fmt.Sprintf("interviews of user %d", ask.UserID)
	}
	from, err := h.filler.place(ask.Cursor)
	if err != nil {
		return tasks.Backfilled{}, &tasks.InvalidError{Err: err}
	}
	if ask.DryRun && ask.Cursor == "" {
		e.Detail = "dry run"
		if err := h.ledger.Audit(ctx, e); err != nil {
			return tasks.Backfilled{}, err
		}
	}
	t := newTally()
	page, err := h.filler.look(ctx, from, ask.UserID, t)
	if err != nil {
		return tasks.Backfilled{}, err
	}
	submit, rewrite, err := h.filler.sort(ctx, page, from, ask, t)
	if err != nil || len(submit)+len(rewrite) == 0 {
		return t.result(), err
	}
	if ask.DryRun {
		for _, n := range submit {
			t.kinds[n.kind].Submitted++
		}
		for _, n := range rewrite {
			if _, err := h.filler.rows(ctx, n.job); err != nil {
				t.kinds[n.kind].Failed++
			} else {
				t.kinds[n.kind].Rewritten++
			}
		}
		return t.result(), nil
	}
	e.Detail = fmt.Sprintf("%d jobs to submit, %d stored results to write again", len(submit), len(rewrite))
	if err := h.ledger.Audit(ctx, e); err != nil {
		return tasks.Backfilled{}, err
	}
	if err := h.filler.submit(ctx, submit, who, t); err != nil {
		return tasks.Backfilled{}, err
	}
	err = h.filler.rewrite(ctx, rewrite, t)
	return t.result(), err
}

// place is how far a backfill has come. With a platform's database it goes
// through the platform's interviews and then through those that are in the ledger
// alone; without one the ledger has all.
type place struct {
	platform bool
	after    int64
}

const inLedger = "ledger."

func (f *filler) place(cursor string) (place, error) {
	if cursor == "" {
		return place{platform: f.mirror != nil}, nil
	}
	number, ledger := strings.CutPrefix(cursor, inLedger)
	after, err := strconv.ParseInt(number, 36, 64)
	if err != nil || after < 0 || !ledger && f.mirror == nil {
		return place{}, fmt.Errorf("cursor %.40q: use the next of the answer before", cursor)
	}
	return place{!ledger, after}, nil
}

func (p place) cursor() string {
	number := strconv.FormatInt(p.after, 36)
	if p.platform {
		return number
	}
	return inLedger + number
}

// look reads a page and notes where the next one begins.
func (f *filler) look(ctx context.Context, from place, user int64, t *tally) ([]evaluation.Lack, error) {
	at := evaluation.Look{After: from.after, UserID: user, Limit: lookAtOnce}
	var page evaluation.Backlog
	var err error
	if from.platform {
		page, err = f.mirror.platform.Unevaluated(ctx, at)
	} else if page, err = f.ledger.Unevaluated(ctx, at); err == nil && f.mirror != nil {
		page.Lacks, err = f.mirror.platform.Unknown(ctx, page.Lacks)
	}
	if err != nil {
		return nil, err
	}
	t.out.Looked = page.Looked
	switch {
	case page.Next != 0:
		t.out.Next = place{from.platform, page.Next}.cursor()
	case from.platform:
		t.out.Next = place{}.cursor()
	}
	return page.Lacks, nil
}

// fate is what becomes of a need. From toSubmit on something is done.
type fate int

const (
	met fate = iota // since we looked
	left
	young
	toSubmit
	toRenew // the platform has nothing of a function of its own that succeeded
	toRewrite
)

func (n need) fate(from place, olderThan time.Duration) fate {
	switch s := n.job.State; {
	case s == tasks.Succeeded && !from.platform:
		return met
	case s == tasks.Dead, s == tasks.Cancelled, s != "" && !s.Finished():
		return left
	case n.lack.Age < olderThan:
		return young
	case s == tasks.Succeeded:
		return toRewrite
	}
	return toSubmit
}

// sort counts what is left alone and gives the rest. It stops where something
// would be done for more interviews than were asked for.
func (f *filler) sort(ctx context.Context, lacks []evaluation.Lack, from place, ask tasks.Backfill, t *tally) (submit, rewrite []need, err error) {
	var asked []tasks.Payload
	for _, lack := range lacks {
		for _, k := range lack.Kinds {
			asked = append(asked, tasks.NewPayload(k, lack.UserID, lack.ReportID, nil))
		}
	}
	jobs, err := f.ledger.Newest(ctx, asked)
	if err != nil {
		return nil, nil, err
	}
	for _, lack := range lacks {
		by := map[fate][]need{}
		for i, k := range lack.Kinds {
			n := need{lack: lack, kind: k, job: jobs[i]}
			what := n.fate(from, ask.OlderThan)
			if from.platform && n.job.State == tasks.Skipped && what == toSubmit {
				same, err := f.unchanged(ctx, n)
				if err != nil {
					return nil, nil, err
				}
				if same {
					what = left
				}
			}
			if what == toRewrite {
				if what, err = f.howToFill(ctx, &n); err != nil {
					return nil, nil, err
				}
			}
			by[what] = append(by[what], n)
		}
		jobs = jobs[len(lack.Kinds):]
		if len(by[toSubmit])+len(by[toRenew])+len(by[toRewrite]) > 0 {
			if ask.Limit > 0 && t.out.Interviews == ask.Limit {
				t.out.Next = place{from.platform, lack.ReportID - 1}.cursor()
				return submit, rewrite, nil
			}
			t.out.Interviews++
		}
		for _, n := range by[left] {
			t.leave(n.kind, n.job)
		}
		for _, n := range by[young] {
			t.kinds[n.kind].Young++
		}
		submit = append(append(submit, by[toSubmit]...), by[toRenew]...)
		rewrite = append(rewrite, by[toRewrite]...)
	}
	return submit, rewrite, nil
}

// unchanged reports whether an interview is as the job saw it that found nothing to
// evaluate in it, or cannot be read. It stores nothing.
func (f *filler) unchanged(ctx context.Context, n need) (bool, error) {
	in, err := f.mirror.platform.Interview(ctx, n.lack.UserID, n.lack.ReportID)
	if err == nil {
		var have evaluation.Interview
		if have, err = f.mirror.known(ctx, n.lack.ReportID); err == nil {
			return merge(in, have).Hash() == n.job.InputHash, nil
		}
	}
	if away(err) {
		return false, err
	}
	return true, nil
}

func (f *filler) submit(ctx context.Context, needs []need, who string, t *tally) error {
	var renew, fresh []need
	for _, n := range needs {
		if n.renew {
			renew = append(renew, n)
		} else {
			fresh = append(fresh, n)
		}
	}
	needs = fresh
	if err := f.renew(ctx, renew, who, t); err != nil {
		return err
	}
	requests := make([]tasks.Request, len(needs))
	for i, n := range needs {
		if f.mirror != nil && n.job.State == tasks.Skipped {
			// The next revision begins only when the ledger knows that the interview has
			// changed since.
			if _, err := f.mirror.Interview(ctx, n.lack.UserID, n.lack.ReportID); away(err) {
				return err
			}
		}
		requests[i] = tasks.Request{Payload: tasks.NewPayload(n.kind, n.lack.UserID, n.lack.ReportID, nil), Priority: tasks.Low, Passive: true}
	}
	for i, a := range f.ledger.AcceptMany(ctx, requests, who) {
		switch {
		case a.Err != nil:
			return a.Err
		case a.Created:
			t.kinds[needs[i].kind].Submitted++
		default: // somebody else was faster, or there is nothing new to see
			t.leave(needs[i].kind, a.Job)
		}
	}
	return nil
}

// tally is the counts of one page.
type tally struct {
	out   tasks.Backfilled
	kinds map[tasks.Kind]*tasks.BackfilledKind
}

// leave counts a job that is left as it is.
func (t *tally) leave(k tasks.Kind, j tasks.Job) {
	switch j.State {
	case tasks.Succeeded: // since we looked
		return
	case tasks.Dead:
		t.kinds[k].Dead++
	case tasks.Cancelled:
		t.kinds[k].Cancelled++
	case tasks.Skipped:
		t.kinds[k].Skipped++
		return
	default:
		t.kinds[k].Underway++
		return
	}
	if len(t.out.Left) < tasks.MaxLeft {
		t.out.Left = append(t.out.Left, j.ID)
	}
}

func newTally() *tally {
	t := &tally{kinds: map[tasks.Kind]*tasks.BackfilledKind{}}
	for _, k := range tasks.Kinds() {
		t.kinds[k] = &tasks.BackfilledKind{}
	}
	return t
}

func (t *tally) result() tasks.Backfilled {
	t.out.Kinds = map[tasks.Kind]tasks.BackfilledKind{}
	for k, n := range t.kinds {
		n.Found = n.Submitted + n.Underway + n.Dead + n.Cancelled + n.Skipped + n.Young + n.Rewritten + n.Failed
		t.out.Kinds[k] = *n
	}
	return t.out
}
