package api

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"evalq/internal/evaluation"
	"evalq/tasks"
)

// book is a ledger in memory, just deep enough to be asked over HTTP: the real
// one has its own tests, and together they are tested end to end.
type book struct {
	mu         sync.Mutex
	jobs       []*tasks.Job // oldest first
	interviews map[int64]evaluation.Interview
	whos       []string
	whys       []string
	moved      chan struct{} // closed and replaced by each change
	fail       error         // what every method returns, when set
	kinds      []tasks.Kind  // known besides the built-in ones
}

func (b *book) KindCheck() func(context.Context, tasks.Request) error {
	return func(_ context.Context, r tasks.Request) error {
		if b.fail != nil {
			return b.fail
		}
		k, known := r.Payload.Kind(), append(tasks.Kinds(), b.kinds...)
		if k.Validate() == nil && (r.NewKind || slices.Contains(known, k)) {
			return nil
		}
		problem := "unknown"
		if k == "" {
			problem = "missing"
		}
		return &tasks.InvalidError{Err: fmt.Errorf("kind: %s: use one of %s", problem, joined(known))}
	}
}

func newBook() *book {
	return &book{interviews: map[int64]evaluation.Interview{}, moved: make(chan struct{})}
}

func (b *book) Accept(_ context.Context, r tasks.Request, who string) (tasks.Job, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return tasks.Job{}, false, b.fail
	}
	if err := r.Validate(); err != nil {
		return tasks.Job{}, false, &tasks.InvalidError{Err: err}
	}
	b.whos = append(b.whos, who)
	user, report := r.Payload.Subject()
	for i := len(b.jobs) - 1; i >= 0; i-- {
		j := b.jobs[i]
		if j.Kind == r.Payload.Kind() && j.UserID == user && j.ReportID == report {
			if j.State == tasks.Dead || j.State == tasks.Cancelled && r.Anew {
				j.State, j.Run = tasks.Accepted, j.Run+1
				return *j, true, nil
			}
			return *j, false, nil
		}
	}
	j := &tasks.Job{
		ID: tasks.NewID(time.Now()), Kind: r.Payload.Kind(), UserID: user, ReportID: report, Revision: 1,
		Priority: r.Priority, State: tasks.Accepted, Delivery: 1, Run: 1, Budget: 5, AcceptedAt: time.Now().UTC(), DueAt: r.RunAt,
	}
	if j.Priority == "" {
		j.Priority = tasks.Default
	}
	if c, ok := r.Payload.(tasks.Custom); ok {
		j.Data = c.Data
	}
	b.jobs = append(b.jobs, j)
	return *j, true, nil
}

func (b *book) AcceptMany(ctx context.Context, rs []tasks.Request, who string) []tasks.Accepting {
	out := make([]tasks.Accepting, len(rs))
	for i, r := range rs {
		out[i].Job, out[i].Created, out[i].Err = b.Accept(ctx, r, who)
	}
	return out
}

func (b *book) job(id string) (*tasks.Job, error) {
	if b.fail != nil {
		return nil, b.fail
	}
	for _, j := range b.jobs {
		if j.ID == id {
			return j, nil
		}
	}
	return nil, fmt.Errorf("job: %w", tasks.ErrNotFound)
}

func (b *book) Get(_ context.Context, id string) (tasks.Job, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	j, err := b.job(id)
	if err != nil {
		return tasks.Job{}, err
	}
	return *j, nil
}

func (b *book) Find(_ context.Context, kind tasks.Kind, userID, reportID int64) (tasks.Job, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := len(b.jobs) - 1; i >= 0; i-- {
		if j := b.jobs[i]; j.Kind == kind && j.UserID == userID && j.ReportID == reportID {
			return *j, nil
		}
	}
	return tasks.Job{}, tasks.ErrNotFound
}

func (b *book) List(_ context.Context, f tasks.Filter) (tasks.Page, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return tasks.Page{}, b.fail
	}
	skip := 0
	if f.Cursor != "" {
		var err error
		if skip, err = strconv.Atoi(f.Cursor); err != nil {
			return tasks.Page{}, &tasks.InvalidError{Err: fmt.Errorf("cursor %q: use the next of the page before", f.Cursor)}
		}
	}
	if f.Limit == 0 {
		f.Limit = 50
	}
	page := tasks.Page{}
	for i := len(b.jobs) - 1 - skip; i >= 0; i-- {
		j := *b.jobs[i]
		if f.Kind != "" && j.Kind != f.Kind || f.State != "" && j.State != f.State || f.UserID != 0 && j.UserID != f.UserID ||
			f.ReportID != 0 && j.ReportID != f.ReportID || f.Priority != "" && j.Priority != f.Priority ||
			f.Class != "" && (j.Error == nil || j.Error.Class != f.Class) {
			continue
		}
		if len(page.Jobs) == f.Limit {
			page.Next = strconv.Itoa(len(b.jobs) - 1 - i)
			break
		}
		j.Result = nil
		page.Jobs = append(page.Jobs, j)
	}
	return page, nil
}

func (b *book) Wait(ctx context.Context, id string, limit time.Duration) (tasks.Job, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		b.mu.Lock()
		moved := b.moved
		b.mu.Unlock()
		j, err := b.Get(ctx, id)
		if err != nil || j.State.Finished() {
			return j, err
		}
		select {
		case <-moved:
		case <-timer.C:
			return j, nil
		case <-ctx.Done():
			return j, ctx.Err()
		}
	}
}

func (b *book) Attempts(_ context.Context, id string) ([]tasks.Attempt, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	j, err := b.job(id)
	if err != nil {
		return nil, err
	}
	var out []tasks.Attempt
	for n := range j.Attempt {
		out = append(out, tasks.Attempt{Number: n + 1, Run: 1, Delivery: 1, Worker: "w", Error: j.Error})
	}
	return out, nil
}

func (b *book) Events(_ context.Context, id string) ([]tasks.Event, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	j, err := b.job(id)
	if err != nil {
		return nil, err
	}
	return []tasks.Event{{At: j.AcceptedAt, To: tasks.Accepted, Who: "api", Build: "dev"}}, nil
}

func (b *book) RetryWith(_ context.Context, id string, how tasks.RetryOptions, who, why string) (tasks.Job, error) {
	if how.NewRevision {
		return b.anew(id, why)
	}
	return b.change(id, func(j *tasks.Job) error {
		if j.State == tasks.Running || j.State == tasks.Succeeded || j.State == tasks.Skipped {
			return fmt.Errorf("the job is %s: %w", j.State, tasks.ErrConflict)
		}
		j.State, j.Hold = tasks.Accepted, tasks.HoldNone
		return nil
	})
}

// anew is deep enough for one kind and report a test.
func (b *book) anew(id, why string) (tasks.Job, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	named, err := b.job(id)
	if err != nil {
		return tasks.Job{}, err
	}
	j := *named
	for _, other := range b.jobs {
		if other.Kind == j.Kind && other.ReportID == j.ReportID && other.Revision > j.Revision {
			j = *other
		}
	}
	switch {
	case !j.State.Finished() && !j.StepsSince.IsZero():
		return j, nil
	case j.State != tasks.Succeeded && j.State != tasks.Skipped:
		return tasks.Job{}, fmt.Errorf("the job is %s: %w", j.State, tasks.ErrConflict)
	}
	j.ID, j.Revision, j.State, j.StepsSince, j.Result = tasks.NewID(time.Now()), j.Revision+1, tasks.Accepted, time.Now().UTC(), nil
	b.jobs = append(b.jobs, &j)
	b.whys = append(b.whys, why)
	return j, nil
}

func (b *book) Cancel(_ context.Context, id, who, why string) (tasks.Job, error) {
	return b.change(id, func(j *tasks.Job) error {
		switch {
		case j.State == tasks.Running:
			j.CancelAsk = true
		case j.State.Finished() && j.State != tasks.Cancelled:
			return fmt.Errorf("the job is %s: %w", j.State, tasks.ErrConflict)
		default:
			j.State = tasks.Cancelled
		}
		return nil
	})
}

func (b *book) change(id string, do func(*tasks.Job) error) (tasks.Job, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	j, err := b.job(id)
	if err != nil {
		return tasks.Job{}, err
	}
	if err := do(j); err != nil {
		return tasks.Job{}, err
	}
	close(b.moved)
	b.moved = make(chan struct{})
	return *j, nil
}

// put stores a job as it is and gives it an id when it has none.
func (b *book) put(j tasks.Job) tasks.Job {
	b.mu.Lock()
	defer b.mu.Unlock()
	if j.ID == "" {
		j.ID = tasks.NewID(time.Now())
	}
	if j.Revision == 0 {
		j.Revision = 1
	}
	b.jobs = append(b.jobs, &j)
	return j
}

func (b *book) finish(id string, result json.RawMessage) {
	_, _ = b.change(id, func(j *tasks.Job) error {
		j.State, j.Result, j.Judge = tasks.Succeeded, result, "offline/1"
		return nil
	})
}

func (b *book) PutInterview(_ context.Context, doc evaluation.Interview, who string) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return false, b.fail
	}
	have, ok := b.interviews[doc.ReportID]
	if ok && have.UserID != doc.UserID {
		return false, fmt.Errorf("the interview belongs to another user: %w", tasks.ErrConflict)
	}
	b.interviews[doc.ReportID] = doc
	return !ok || have.Hash() != doc.Hash(), nil
}

func (b *book) Interview(_ context.Context, userID, reportID int64) (evaluation.Interview, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	doc, ok := b.interviews[reportID]
	if !ok {
		return doc, tasks.NewError(tasks.ClassInterviewMissing, tasks.ErrNotFound)
	}
	return doc, nil
}

func (b *book) Ready(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fail
}
