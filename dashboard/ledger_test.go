package dashboard_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"evalq/tasks"
)

// memory is a ledger for these tests only: the real one lives in a room that
// this package does not import. It keeps the rules that the dashboard relies on.
type memory struct {
	mu         sync.Mutex
	jobs       []*tasks.Job // oldest first
	attempts   map[string][]tasks.Attempt
	events     map[string][]tasks.Event
	interviews map[int64][]byte
	entries    []tasks.AuditEntry
	paused     map[tasks.Priority]bool
	workers    []tasks.Worker
	quarantine []tasks.Quarantined
	bridge     []tasks.BridgeChannel
	replayed   [][3]int64
	auditFails error
	readFails  error
	before     func(*tasks.Job) // what happens to a job between the look and the deed
}

func newMemory() *memory {
	return &memory{
		attempts: map[string][]tasks.Attempt{}, events: map[string][]tasks.Event{},
		interviews: map[int64][]byte{}, paused: map[tasks.Priority]bool{},
	}
}

// add puts a job in the given state; the caller may change it before use.
func (m *memory) add(state tasks.State, change func(*tasks.Job)) tasks.Job {
	m.mu.Lock()
	defer m.mu.Unlock()
	job := &tasks.Job{
		ID: tasks.NewID(time.Now()), Kind: tasks.KindEvaluationReport, UserID: 7, ReportID: int64(100 + len(m.jobs)), Revision: 1,
		Priority: tasks.Default, State: state, Delivery: 1, Run: 1, Budget: 5, AcceptedAt: time.Now().Add(-time.Minute),
	}
	if change != nil {
		change(job)
	}
	m.jobs = append(m.jobs, job)
	m.events[job.ID] = append(m.events[job.ID], tasks.Event{At: job.AcceptedAt, To: tasks.Accepted, Who: "api", Build: "test"})
	return *job
}

func (m *memory) find(id string) (*tasks.Job, error) {
	if m.readFails != nil {
		return nil, m.readFails
	}
	for _, job := range m.jobs {
		if job.ID == id {
			return job, nil
		}
	}
	return nil, fmt.Errorf("ledger: get %q: %w", id, tasks.ErrNotFound)
}

// job gives the job as it is now.
func (m *memory) job(id string) tasks.Job {
	m.mu.Lock()
	defer m.mu.Unlock()
	job, err := m.find(id)
	if err != nil {
		return tasks.Job{}
	}
	return *job
}

func (m *memory) move(job *tasks.Job, to tasks.State, who, why string) {
	m.events[job.ID] = append(m.events[job.ID], tasks.Event{At: time.Now(), From: job.State, To: to, Who: who, Why: why, Build: "test"})
	job.State = to
	if to.Finished() {
		job.FinishedAt = time.Now()
	}
}

func conflict(doing string, job *tasks.Job) error {
	return fmt.Errorf("ledger: %s %q: %w: it is %s", doing, job.ID, tasks.ErrConflict, job.State)
}

func (m *memory) Get(_ context.Context, id string) (tasks.Job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	job, err := m.find(id)
	if err != nil {
		return tasks.Job{}, err
	}
	return *job, nil
}

func (m *memory) List(_ context.Context, f tasks.Filter) (tasks.Page, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.readFails != nil {
		return tasks.Page{}, m.readFails
	}
	from := len(m.jobs)
	if f.Cursor != "" {
		n, err := strconv.Atoi(f.Cursor)
		if err != nil || n > len(m.jobs) {
			return tasks.Page{}, &tasks.InvalidError{Err: fmt.Errorf("cursor: not one of ours")}
		}
		from = n
	}
	limit := f.Limit
	if limit == 0 {
		limit = 50
	}
	var page tasks.Page
	for i := from - 1; i >= 0; i-- {
		if !matches(*m.jobs[i], f) {
			continue
		}
		if len(page.Jobs) == limit {
			page.Next = strconv.Itoa(i + 1)
			break
		}
		job := *m.jobs[i]
		job.Result = nil
		page.Jobs = append(page.Jobs, job)
	}
	return page, nil
}

func matches(job tasks.Job, f tasks.Filter) bool {
	class := tasks.Class("")
	if job.Error != nil {
		class = job.Error.Class
	}
	return (f.Kind == "" || f.Kind == job.Kind) && (f.State == "" || f.State == job.State) &&
		(f.Priority == "" || f.Priority == job.Priority) && (f.UserID == 0 || f.UserID == job.UserID) &&
		(f.ReportID == 0 || f.ReportID == job.ReportID) && (f.Class == "" || f.Class == class)
}

func (m *memory) Attempts(_ context.Context, id string) ([]tasks.Attempt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.attempts[id], m.readFails
}

func (m *memory) Events(_ context.Context, id string) ([]tasks.Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.events[id]), m.readFails
}

func (m *memory) Overview(context.Context) (tasks.Overview, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := tasks.Overview{At: time.Now(), Queues: map[tasks.Priority]map[tasks.State]int{}, Workers: m.workers, Oldest: map[tasks.Priority]tasks.Job{}}
	for _, job := range m.jobs {
		if o.Queues[job.Priority] == nil {
			o.Queues[job.Priority] = map[tasks.State]int{}
		}
		o.Queues[job.Priority][job.State]++
		if _, have := o.Oldest[job.Priority]; !have && (job.State == tasks.Accepted || job.State == tasks.Queued) {
			o.Oldest[job.Priority] = *job
		}
	}
	return o, m.readFails
}

func (m *memory) Find(_ context.Context, kind tasks.Kind, userID, reportID int64) (tasks.Job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if newest := m.newest(kind, userID, reportID); newest != nil {
		return *newest, m.readFails
	}
	return tasks.Job{}, cmp.Or(m.readFails, tasks.ErrNotFound)
}

func (m *memory) newest(kind tasks.Kind, userID, reportID int64) (newest *tasks.Job) {
	for _, job := range m.jobs {
		if job.Kind == kind && job.UserID == userID && job.ReportID == reportID && (newest == nil || job.Revision > newest.Revision) {
			newest = job
		}
	}
	return newest
}

func (m *memory) RetryWith(_ context.Context, id string, how tasks.RetryOptions, who, why string) (tasks.Job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	job, err := m.find(id)
	if err != nil {
		return tasks.Job{}, err
	}
	if how.NewRevision && (job.State == tasks.Succeeded || job.State == tasks.Skipped) {
		next := *job
		next.ID, next.Revision, next.Result, next.StepsSince = tasks.NewID(time.Now()), job.Revision+1, nil, time.Now()
		next.State, next.FinishedAt = tasks.Accepted, time.Time{}
		m.jobs = append(m.jobs, &next)
		m.events[next.ID] = []tasks.Event{{At: time.Now(), To: tasks.Accepted, Who: who, Why: "evaluated anew: " + why}}
		return next, nil
	}
	if how.DropSteps {
		job.StepsSince = time.Now()
	}
	switch job.State {
	case tasks.Running, tasks.Succeeded, tasks.Skipped:
		return tasks.Job{}, conflict("retry", job)
	case tasks.Accepted:
		return *job, nil
	}
	m.move(job, tasks.Accepted, who, why)
	job.Delivery++
	job.Run++
	job.Charged, job.FinishedAt = 0, time.Time{}
	return *job, nil
}

func (m *memory) Cancel(_ context.Context, id, who, why string) (tasks.Job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	job, err := m.find(id)
	if err != nil {
		return tasks.Job{}, err
	}
	switch job.State {
	case tasks.Succeeded, tasks.Skipped, tasks.Dead:
		return tasks.Job{}, conflict("cancel", job)
	case tasks.Running:
		job.CancelAsk = true
	case tasks.Cancelled:
	default:
		m.move(job, tasks.Cancelled, who, why)
	}
	return *job, nil
}

func (m *memory) Archive(_ context.Context, id, who, why string) (tasks.Job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	job, err := m.find(id)
	if err != nil {
		return tasks.Job{}, err
	}
	switch job.State {
	case tasks.Running, tasks.Succeeded, tasks.Skipped, tasks.Cancelled:
		return tasks.Job{}, conflict("archive", job)
	}
	m.move(job, tasks.Dead, who, why)
	job.Error = &tasks.Failure{Class: tasks.ClassOperator, Message: why}
	return *job, nil
}

func (m *memory) during(id string, delivery int, states []tasks.State, doing string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.before != nil {
		job, err := m.find(id)
		if err != nil {
			return err
		}
		m.before(job)
	}
	job, err := m.find(id)
	if err == nil && (job.Delivery != delivery || !slices.Contains(states, job.State)) {
		err = conflict(doing, job)
	}
	return err
}

func (m *memory) RetryDelivery(ctx context.Context, id string, delivery int, states []tasks.State, who, why string) (tasks.Job, error) {
	if err := m.during(id, delivery, states, "retry"); err != nil {
		return tasks.Job{}, err
	}
	return m.RetryWith(ctx, id, tasks.RetryOptions{}, who, why)
}

func (m *memory) CancelDelivery(ctx context.Context, id string, delivery int, states []tasks.State, who, why string) (tasks.Job, error) {
	if err := m.during(id, delivery, states, "cancel"); err != nil {
		return tasks.Job{}, err
	}
	return m.Cancel(ctx, id, who, why)
}

func (m *memory) ArchiveDelivery(ctx context.Context, id string, delivery int, states []tasks.State, who, why string) (tasks.Job, error) {
	if err := m.during(id, delivery, states, "archive"); err != nil {
		return tasks.Job{}, err
	}
	return m.Archive(ctx, id, who, why)
}

func (m *memory) Pause(_ context.Context, queue tasks.Priority, paused bool, _ string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.paused[queue] = paused
	return m.readFails
}

func (m *memory) Paused(context.Context) (map[tasks.Priority]bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[tasks.Priority]bool{}
	for queue, paused := range m.paused {
		out[queue] = paused
	}
	return out, m.readFails
}

func (m *memory) Interview(_ context.Context, _, report int64) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	doc, ok := m.interviews[report]
	if !ok {
		return nil, fmt.Errorf("ledger: interview %d: %w", report, tasks.ErrNotFound)
	}
	return doc, nil
}

func (m *memory) PutInterview(_ context.Context, doc []byte, _ string) (bool, error) {
	var head struct {
		ReportID int64 `json:"report_id"`
	}
	if err := json.Unmarshal(doc, &head); err != nil || head.ReportID < 1 {
		return false, &tasks.InvalidError{Err: fmt.Errorf("report_id: missing")}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	changed := string(m.interviews[head.ReportID]) != string(doc)
	m.interviews[head.ReportID] = doc
	return changed, nil
}

func (m *memory) Audit(_ context.Context, e tasks.AuditEntry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.auditFails != nil {
		return m.auditFails
	}
	e.Seq = int64(len(m.entries) + 1)
	m.entries = append([]tasks.AuditEntry{e}, m.entries...)
	return nil
}

func (m *memory) AuditLog(_ context.Context, limit int) ([]tasks.AuditEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.entries[:min(limit, len(m.entries))]), m.readFails
}

func (m *memory) AuditPage(_ context.Context, q tasks.AuditQuery) (out []tasks.AuditEntry, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.entries {
		signIn := e.Action == tasks.AuditSignIn || e.Action == tasks.AuditSignInFailed
		if signIn == q.SignIns && (q.Before == 0 || e.Seq < q.Before) && len(out) < q.Limit {
			out = append(out, e)
		}
	}
	return out, m.readFails
}

func (m *memory) InQuarantine(_ context.Context, all bool, _ int) (out []tasks.Quarantined, open int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, q := range m.quarantine {
		if q.Settled == "" {
			open++
		}
		if all || q.Settled == "" {
			out = append(out, q)
		}
	}
	return out, open, m.readFails
}

func (m *memory) Settle(_ context.Context, id int64, who, how string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, q := range m.quarantine {
		if q.ID == id && q.Settled == "" {
			m.quarantine[i].Settled = how + " by " + who
			return nil
		}
	}
	return fmt.Errorf("ledger: settle %d: %w", id, tasks.ErrNotFound)
}

// Replay refuses what has not come over a bridge, and needs a named report.
func (m *memory) Replay(ctx context.Context, id, user, report int64, who string) (tasks.Job, error) {
	m.mu.Lock()
	m.replayed = append(m.replayed, [3]int64{id, user, report})
	m.mu.Unlock()
	if report == 0 {
		return tasks.Job{}, &tasks.InvalidError{Err: fmt.Errorf("several interviews may be meant")}
	}
	job := m.add(tasks.Accepted, func(j *tasks.Job) { j.UserID, j.ReportID = user, report })
	return job, m.Settle(ctx, id, who, "replayed as job "+job.ID)
}

func (m *memory) Bridge(context.Context) ([]tasks.BridgeChannel, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.bridge), m.readFails
}
