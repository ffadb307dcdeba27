package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"evalq/internal/evaluation"
	"evalq/internal/ledger"
	"evalq/internal/platform"
	"evalq/tasks"
	"evalq/worker"
)

// mirror is where handlers find interviews when there is a platform's database:
// there, with what people have added to them in the ledger. The ledger gets the
// outcome, so that pages, results and revisions speak of the same.
type mirror struct {
	platform *platform.Store
	ledger   *ledger.Ledger
	log      *slog.Logger
}

// mirrored signs the changes that a mirror makes.
const mirrored = "platform"

// Interview reads an interview from the platform. One that it does not have may be
// in the ledger, because somebody put it there.
func (m *mirror) Interview(ctx context.Context, userID, reportID int64) (evaluation.Interview, error) {
	in, err := m.platform.Interview(ctx, userID, reportID)
	if tasks.ClassOf(err) == tasks.ClassInterviewMissing {
		if in, err = m.ledger.Interview(ctx, userID, reportID); err != nil {
			return in, err
		}
		return in, saw(ctx, m.ledger, in)
	}
	if err != nil {
		return in, err
	}
	have, err := m.known(ctx, reportID)
	if err != nil {
		return in, err
	}
	if in = merge(in, have); in.Hash() != have.Hash() || have.UserID == 0 {
		if err := m.put(ctx, in); err != nil {
			return in, err
		}
	}
	return in, saw(ctx, m.ledger, in)
}

// read gives an interview as it would be evaluated now, and stores nothing. While the
// platform does not answer, it is what the ledger has.
func (m *mirror) read(ctx context.Context, userID, reportID int64) (evaluation.Interview, error) {
	asked, cancel := context.WithTimeout(ctx, refreshWithin)
	defer cancel()
	in, err := m.platform.Interview(asked, userID, reportID)
	switch tasks.ClassOf(err) {
	case "":
		have, err := m.known(ctx, reportID)
		return merge(in, have), err
	case tasks.ClassWrongUser:
		return in, err
	}
	have, missing := m.ledger.Interview(ctx, userID, reportID)
	if missing != nil && err != nil && tasks.ClassOf(err) != tasks.ClassInterviewMissing {
		return have, err
	}
	return have, missing
}

// known is what the ledger has of an interview, the zero value when nothing.
func (m *mirror) known(ctx context.Context, reportID int64) (evaluation.Interview, error) {
	have, err := m.ledger.Interview(ctx, 0, reportID)
	if tasks.ClassOf(err) == tasks.ClassInterviewMissing {
		return evaluation.Interview{}, nil
	}
	return have, err
}

// put stores an interview, and sends the jobs that wait for it on their way. Whose
// it is the platform decides: where the ledger has it under another user it is
// evaluated without being stored.
func (m *mirror) put(ctx context.Context, in evaluation.Interview) error {
	_, err := m.ledger.PutInterview(ctx, in, mirrored)
	switch {
	case errors.Is(err, tasks.ErrConflict):
		m.log.Warn("the ledger has an interview under another user than the platform", "report_id", in.ReportID, "user_id", in.UserID)
		return nil
	case errors.Is(err, tasks.ErrUnavailable), errors.Is(err, tasks.ErrOutcomeUnknown):
		return tasks.NewError(tasks.ClassStorage, err)
	}
	return err
}

// merge gives an interview of the platform what its tables have no place for: what
// people have added to the same question of the same dialogue.
func merge(in, have evaluation.Interview) evaluation.Interview {
	if have.UserID != in.UserID {
		return in
	}
	if have.Title != "" {
		in.Title = have.Title
	}
	added := make(map[string]evaluation.Answer, len(have.Answers))
	for _, a := range have.Answers {
		added[a.DialogID] = a
	}
	for i := range in.Answers {
		a := &in.Answers[i]
		h, ok := added[a.DialogID]
		if !ok || h.Question != a.Question {
			continue
		}
		if h.Topic != "" {
			a.Topic = h.Topic
		}
		a.Difficulty, a.Reference, a.KeyPoints = h.Difficulty, h.Reference, h.KeyPoints
	}
	return in
}

// saw puts on record what the attempt in ctx evaluates: the mirror may be younger
// than its beginning.
func saw(ctx context.Context, l *ledger.Ledger, in evaluation.Interview) error {
	w := workOf(ctx)
	if w == nil {
		return nil
	}
	w.interview = in
	if w.job.InputHash == in.Hash() {
		return nil
	}
	err := l.Saw(ctx, w.job.ID, w.job.Attempt, in.Hash())
	if errors.Is(err, tasks.ErrUnavailable) || errors.Is(err, tasks.ErrOutcomeUnknown) {
		return tasks.NewError(tasks.ClassStorage, err)
	}
	return err
}

// refreshWithin bounds how long a submission or a page waits for the platform.
const refreshWithin = 2 * time.Second

// refresh brings the mirror up to date for submissions of what is finished, so
// that an interview that has changed since starts the next revision. It does so as
// far as the platform answers in time: the submission counts in any case. What was
// never mirrored is left alone: its handler has its interviews from elsewhere, and
// a mirror would look like a change to it.
func (m *mirror) refresh(ctx context.Context, rs ...tasks.Request) {
	ctx, cancel := context.WithTimeout(ctx, refreshWithin)
	defer cancel()
	for _, r := range rs {
		if r.Validate() != nil || !r.Payload.Kind().Builtin() {
			continue
		}
		_, report := r.Payload.Subject()
		if err := m.refreshOne(ctx, r); err != nil && !errors.Is(err, tasks.ErrNotFound) {
			m.log.DebugContext(ctx, "the platform was not asked whether an interview has changed", "report_id", report, "err", err)
		}
		if ctx.Err() != nil {
			return
		}
	}
}

func (m *mirror) refreshOne(ctx context.Context, r tasks.Request) error {
	user, report := r.Payload.Subject()
	j, err := m.ledger.Find(ctx, r.Payload.Kind(), user, report)
	if err != nil || j.State != tasks.Succeeded && j.State != tasks.Skipped {
		return err
	}
	if have, err := m.known(ctx, report); err != nil || have.UserID == 0 {
		return err
	}
	_, err = m.Interview(ctx, user, report)
	return err
}

const (
	lookEach  = 3 * time.Second // for interviews that jobs wait for
	lookChunk = 200             // so many jobs a look
)

// watch brings interviews that jobs wait for from the platform, which tells nobody
// when it stores one.
func (m *mirror) watch(ctx context.Context) error {
	cursor := ""
	for {
		rest(ctx, lookEach)
		if ctx.Err() != nil {
			return nil
		}
		next, err := m.look(ctx, cursor)
		if err != nil && ctx.Err() == nil {
			m.log.DebugContext(ctx, "the platform was not asked for interviews that jobs wait for", "err", err)
		}
		cursor = next
	}
}

// look asks for the interviews of one page of held jobs. An error ends it, and the
// next look begins anew.
func (m *mirror) look(ctx context.Context, cursor string) (next string, err error) {
	page, err := m.ledger.List(ctx, tasks.Filter{State: tasks.Held, Limit: lookChunk, Cursor: cursor})
	if err != nil {
		return "", err
	}
	for _, j := range page.Jobs {
		if j.Hold != tasks.HoldInterviewMissing || !j.Kind.Builtin() {
			continue
		}
		in, err := m.platform.Interview(ctx, 0, j.ReportID)
		switch tasks.ClassOf(err) {
		case "":
		case tasks.ClassInterviewMissing, tasks.ClassContextTooLong:
			continue
		default:
			return "", err
		}
		have, err := m.known(ctx, j.ReportID)
		if err != nil {
			return "", err
		}
		if err := m.put(ctx, merge(in, have)); err != nil {
			return "", err
		}
	}
	return page.Next, nil
}

// work is what the handlers of the built-in kinds know of the attempt in a
// context.
type work struct {
	job               tasks.Job
	interview         evaluation.Interview
	done, kept, total int // as the evaluation told it last
}

type workKey struct{}

func withWork(ctx context.Context, job tasks.Job) context.Context {
	return context.WithValue(ctx, workKey{}, &work{job: job})
}

func workOf(ctx context.Context) *work {
	w, _ := ctx.Value(workKey{}).(*work)
	return w
}

// deliver writes a result into the platform's table, while the attempt is the
// newest: one that was given up meanwhile must not write over what its successor
// has written. An interview that is in the ledger alone has no place there.
func deliver(ctx context.Context, write func(context.Context) error) error {
	w := workOf(ctx)
	if err := worker.Progress(ctx, w.done, w.kept, w.total); err != nil {
		return err
	}
	err := write(ctx)
	if tasks.ClassOf(err) == tasks.ClassInterviewMissing {
		return nil
	}
	return err
}
