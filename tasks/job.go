package tasks

import (
	"encoding/json"
	"log/slog"
	"time"
)

// Job is a request that the ledger has committed. Times are UTC with
// millisecond resolution; a zero time means that it has not happened.
type Job struct {
	ID       string   `json:"id"`
	Kind     Kind     `json:"kind"`
	UserID   int64    `json:"user_id"`
	ReportID int64    `json:"report_id"`
	Revision int      `json:"revision"` // from 1; a changed interview starts the next
	Priority Priority `json:"priority"`
	State    State    `json:"state"`
	Hold     Hold     `json:"hold,omitempty"`    // when held
	Skipped  string   `json:"skipped,omitempty"` // the reason, when skipped

	// Delivery is raised by each hand-over; the job's task in Asynq is
	// TaskID(ID, Delivery).
	Delivery int `json:"delivery"`
	// Attempt is the number of the newest attempt, 0 before the first. It is
	// never reused: a write that carries an older one is refused.
	Attempt int `json:"attempt"`
	// Charged counts the failures of this run that cost an attempt, Deaths the
	// workers that died with it; Budget is the limit of Charged.
	Charged int `json:"charged"`
	Deaths  int `json:"deaths"`
	Budget  int `json:"budget"`
	// Run counts from 1; each revival starts another with a fresh budget.
	Run int `json:"run"`

	AcceptedAt time.Time `json:"accepted_at"`
	DueAt      time.Time `json:"due_at,omitzero"` // when the next attempt is due, or a hold is looked at again
	StartedAt  time.Time `json:"started_at,omitzero"`
	FinishedAt time.Time `json:"finished_at,omitzero"`

	Progress  Progress `json:"progress"`
	CancelAsk bool     `json:"cancel_asked,omitempty"` // a running job was asked to stop
	Error     *Failure `json:"error,omitempty"`        // the newest failure
	Judge     string   `json:"judge,omitempty"`        // what made the result

	// StepsSince is set when a person had the job evaluated anew or dropped its
	// steps: what was kept before is not used, its own or shared.
	StepsSince time.Time `json:"steps_since,omitzero"`
	// InputHash identifies the interview (or Data) that the newest attempt saw.
	InputHash string `json:"input_hash,omitempty"`
	// Data is what a Custom payload carried.
	Data json.RawMessage `json:"data,omitempty"`
	// Changed names what a submission has brought forward of a job that was there:
	// ChangedRunAt, ChangedPriority. Only the answer to that submission has it.
	Changed []string `json:"changed,omitempty"`
	// Result is the stored result; only calls that fetch one job fill it.
	Result json.RawMessage `json:"result,omitempty"`
}

// What a submission may bring forward of a job that is under way.
const (
	ChangedRunAt    = "run_at"
	ChangedPriority = "priority"
)

// Payload gives back what was asked for.
func (j Job) Payload() Payload { return NewPayload(j.Kind, j.UserID, j.ReportID, j.Data) }

// TaskID is the id of the job's present task in Asynq.
func (j Job) TaskID() string { return TaskID(j.ID, j.Delivery) }

// Failing reports whether the newest failure still matters: the job waits to
// be tried again after it, or has given up. A job that was taken up again, runs
// or has finished otherwise keeps Error only as a record.
func (j Job) Failing() bool {
	return j.Error != nil && (j.State == Retrying || j.State == Held || j.State == Dead)
}

// Sentence tells the person who waits what the job waits for or what its newest
// failure means, or is empty. Lang is "zh" or "en"; anything else is English.
func (j Job) Sentence(lang string) string {
	if s := j.Hold.Sentence(lang); s != "" {
		return s
	}
	if !j.Failing() {
		return ""
	}
	return j.Error.Class.Sentence(lang, j.State == Dead)
}

// Ref names the job in a log.
func (j Job) Ref() Ref {
	return Ref{Job: j.ID, Kind: j.Kind, Queue: j.Priority, UserID: j.UserID, ReportID: j.ReportID, Attempt: j.Attempt}
}

// Progress counts the steps of a job: of Total, Done are finished, and Kept of
// those were stored before the newest attempt began.
type Progress struct {
	Done  int `json:"done"`
	Kept  int `json:"kept"`
	Total int `json:"total"`
}

// Failure is why an attempt failed.
type Failure struct {
	Class   Class  `json:"class"`
	Message string `json:"message"`         // for engineers
	Stack   string `json:"stack,omitempty"` // of a panic or a stuck handler
}

// Attempt is one try at a job.
type Attempt struct {
	Number     int       `json:"number"`
	Run        int       `json:"run"`
	Delivery   int       `json:"delivery"`
	Worker     string    `json:"worker"`
	StartedAt  time.Time `json:"started_at"`
	FinishedAt time.Time `json:"finished_at,omitzero"`
	// Outcome is the state that the attempt moved its job to, "lost" when its
	// worker died, or empty while it runs.
	Outcome string   `json:"outcome,omitempty"`
	Charged bool     `json:"charged"`
	Saved   int      `json:"saved"` // checkpoints that it stored
	Error   *Failure `json:"error,omitempty"`
	Stuck   bool     `json:"stuck,omitempty"` // past its limit by 60 s and still running
}

// Event is one move of a job.
type Event struct {
	At    time.Time `json:"at"`
	From  State     `json:"from,omitempty"` // empty for the first
	To    State     `json:"to"`
	Who   string    `json:"who"` // "api", "relay", a worker's id, an operator's name
	Why   string    `json:"why,omitempty"`
	Build string    `json:"build"` // version of the program that made the move
}

// Ref is how a job appears in logs: the only place that spells the keys.
type Ref struct {
	Job      string
	Kind     Kind
	Queue    Priority
	UserID   int64
	ReportID int64
	Attempt  int
}

// LogValue implements slog.LogValuer.
func (r Ref) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("id", r.Job), slog.String("kind", string(r.Kind)), slog.String("queue", string(r.Queue)),
		slog.Int64("user_id", r.UserID), slog.Int64("report_id", r.ReportID), slog.Int("attempt", r.Attempt),
	)
}
