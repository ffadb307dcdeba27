package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"evalq/internal/evaluation"
	"evalq/internal/ledger"
	"evalq/internal/platform"
	"evalq/tasks"
)

// backlog is where interviews are, and what is known there of their results.
type backlog interface {
	Unevaluated(ctx context.Context, look evaluation.Look) (evaluation.Backlog, error)
}

// filler submits what nobody has submitted, or what was lost on the way here.
type filler struct {
	ledger   *ledger.Ledger
	from     backlog
	platform *platform.Store // nil without one; else it is what from is
	log      *slog.Logger
}

// newFiller looks where the interviews are: in the platform's tables, or without
// a platform's database in the ledger.
func newFiller(l *ledger.Ledger, p *platform.Store, log *slog.Logger) *filler {
	if p == nil {
		return &filler{ledger: l, from: l, log: log}
	}
	return &filler{ledger: l, from: p, platform: p, log: log}
}

// lookAtOnce is how many interviews one call looks at.
const lookAtOnce = 500

// need is one result that is missing.
type need struct {
	lack evaluation.Lack
	kind tasks.Kind
	job  tasks.Job // the newest one for it; the zero Job when there is none
}

// Backfill looks at one page of the interviews.
func (h house) Backfill(ctx context.Context, ask tasks.Backfill, who string) (tasks.Backfilled, error) {
	after, err := cursorOf(ask.Cursor)
	if err != nil {
		return tasks.Backfilled{}, &tasks.InvalidError{Err: err}
	}
	e := tasks.AuditEntry{Who: who, Action: "ledger.backfill", Target: "interviews of all users"}
	if ask.UserID != 0 {
		e.Target = fmt.Sprintf("interviews of user %d", ask.UserID)
	}
	if ask.DryRun && after == 0 {
		e.Detail = "dry run"
		if err := h.ledger.Audit(ctx, e); err != nil {
			return tasks.Backfilled{}, err
		}
	}
	f := h.filler
	page, err := f.from.Unevaluated(ctx, evaluation.Look{After: after, UserID: ask.UserID, Limit: lookAtOnce})
	if err != nil {
		return tasks.Backfilled{}, err
	}
	t := &tally{out: tasks.Backfilled{Looked: page.Looked, Next: cursor(page.Next)}, kinds: map[tasks.Kind]*tasks.BackfilledKind{}}
	for _, k := range tasks.Kinds() {
		t.kinds[k] = &tasks.BackfilledKind{}
	}
	submit, rewrite, err := f.sort(ctx, page.Lacks, ask, t)
	if err != nil || len(submit)+len(rewrite) == 0 {
		return t.result(), err
	}
	if ask.DryRun {
		for _, n := range submit {
			t.kinds[n.kind].Submitted++
		}
		for _, n := range rewrite {
			t.kinds[n.kind].Rewritten++
		}
		return t.result(), nil
	}
	e.Detail = fmt.Sprintf("%d jobs to submit, %d stored results to write again", len(submit), len(rewrite))
	if err := h.ledger.Audit(ctx, e); err != nil {
		return tasks.Backfilled{}, err
	}
	if err := f.submit(ctx, submit, who, t); err != nil {
		return tasks.Backfilled{}, err
	}
	err = f.rewrite(ctx, rewrite, t)
	return t.result(), err
}

// fate is what becomes of a need. From toSubmit on something is done.
type fate int

const (
	met fate = iota // since we looked
	left
	young
	toSubmit
	toRewrite
)

func (f *filler) fate(n need, olderThan time.Duration) fate {
	switch s := n.job.State; {
	case s == tasks.Succeeded && f.platform == nil:
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
func (f *filler) sort(ctx context.Context, lacks []evaluation.Lack, ask tasks.Backfill, t *tally) (submit, rewrite []need, err error) {
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
			n := need{lack, k, jobs[i]}
			what := f.fate(n, ask.OlderThan)
			by[what] = append(by[what], n)
		}
		jobs = jobs[len(lack.Kinds):]
		if len(by[toSubmit])+len(by[toRewrite]) > 0 {
			if ask.Limit > 0 && t.out.Interviews == ask.Limit {
				t.out.Next = cursor(lack.ReportID - 1)
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
		submit, rewrite = append(submit, by[toSubmit]...), append(rewrite, by[toRewrite]...)
	}
	return submit, rewrite, nil
}

func (f *filler) submit(ctx context.Context, needs []need, who string, t *tally) error {
	requests := make([]tasks.Request, len(needs))
	for i, n := range needs {
		if f.platform != nil && n.job.State == tasks.Skipped {
			if err := f.refresh(ctx, n.lack, who); err != nil {
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

// refresh brings the ledger's copy of an interview up to date. A job that found
// nothing to evaluate gets its next revision only when the interview has changed.
func (f *filler) refresh(ctx context.Context, lack evaluation.Lack, who string) error {
	in, err := f.platform.Interview(ctx, lack.UserID, lack.ReportID)
	if err == nil {
		_, err = f.ledger.PutInterview(ctx, in, who)
	}
	if tasks.IsPermanent(err) || errors.Is(err, tasks.ErrNotFound) || errors.Is(err, tasks.ErrConflict) {
		return nil // its job will tell
	}
	return err
}

// rewrite writes stored results into the platform's tables again. What cannot be
// written does not keep the others back.
func (f *filler) rewrite(ctx context.Context, needs []need, t *tally) error {
	for _, n := range needs {
		err := f.writeAgain(ctx, n.job.ID)
		if err != nil && (ctx.Err() != nil || !tasks.IsPermanent(err)) {
			return err
		}
		if err != nil {
			f.log.WarnContext(ctx, "a stored result cannot be written into the platform's tables", "job", n.job.Ref(), "err", err)
			t.kinds[n.kind].Failed++
			continue
		}
		t.kinds[n.kind].Rewritten++
	}
	return nil
}

// writeAgain calls no judge: the result is there.
func (f *filler) writeAgain(ctx context.Context, id string) error {
	job, err := f.ledger.Get(ctx, id)
	if err != nil {
		return err
	}
	foreign := func(err error) error {
		return tasks.NewError(tasks.ClassInvalidOutput, fmt.Errorf("app: the result is not one of evalq's own: %w", err))
	}
	if job.Kind == tasks.KindEvaluationReport {
		var r evaluation.Report
		if err := json.Unmarshal(job.Result, &r); err != nil || r.Schema != evaluation.ReportSchema {
			return foreign(errors.Join(err, errSchema))
		}
		return f.platform.SaveReport(ctx, job.UserID, job.ReportID, evaluation.OriginalReport(&r))
	}
	var e evaluation.TopicEvaluation
	if err := json.Unmarshal(job.Result, &e); err != nil || e.Schema != evaluation.TopicSchema {
		return foreign(errors.Join(err, errSchema))
	}
	in, err := f.platform.Interview(ctx, job.UserID, job.ReportID)
	if err != nil {
		return err
	}
	return f.platform.SaveAnswers(ctx, job.UserID, job.ReportID, evaluation.OriginalAnswerReport(&e, in))
}

var errSchema = errors.New("its schema is another")

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

func (t *tally) result() tasks.Backfilled {
	t.out.Kinds = map[tasks.Kind]tasks.BackfilledKind{}
	for k, n := range t.kinds {
		n.Found = n.Submitted + n.Underway + n.Dead + n.Cancelled + n.Skipped + n.Young + n.Rewritten + n.Failed
		t.out.Kinds[k] = *n
	}
	return t.out
}

func cursor(report int64) string {
	if report == 0 {
		return ""
	}
	return strconv.FormatInt(report, 36)
}

func cursorOf(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	report, err := strconv.ParseInt(text, 36, 64)
	if err != nil || report < 1 {
		return 0, fmt.Errorf("cursor %.40q: use the next of the answer before", text)
	}
	return report, nil
}
