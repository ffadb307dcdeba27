package tasks

import "time"

// Filter selects jobs, newest first. Empty fields select all.
type Filter struct {
	Kind     Kind
	State    State
	Priority Priority
	UserID   int64
	ReportID int64
	Class    Class // of the newest failure
	// Limit is the page size. 0 means 50; more than 500 means 500.
	Limit int
	// Cursor is the Next of the page before.
	Cursor string
}

// Page is one page of jobs. Next is empty on the last.
type Page struct {
	Jobs []Job  `json:"jobs"`
	Next string `json:"next,omitempty"`
}

// Overview counts jobs and workers at one moment.
type Overview struct {
	At      time.Time                  `json:"at"`
	Queues  map[Priority]map[State]int `json:"queues"` // a state without jobs is absent
	Workers []Worker                   `json:"workers"`
	// Oldest is, a queue, the unfinished job that is due and has waited longest
	// for a worker (accepted, queued or retrying). A queue without one is absent.
	Oldest map[Priority]Job `json:"oldest,omitempty"`
	// Unhandled are the kinds that jobs are held for because no worker handles
	// them, in order.
	Unhandled []UnhandledKind `json:"unhandled,omitempty"`
}

// UnhandledKind is a kind that jobs wait for and no worker handles.
type UnhandledKind struct {
	Kind  Kind      `json:"kind"`
	Jobs  int       `json:"jobs"`
	Since time.Time `json:"since"` // when the first of them was held
}

// Count sums a state over the queues.
func (o Overview) Count(s State) int {
	n := 0
	for _, states := range o.Queues {
		n += states[s]
	}
	return n
}

// Worker is one worker process.
type Worker struct {
	ID        string          `json:"id"`
	Host      string          `json:"host"`
	PID       int             `json:"pid"`
	Build     string          `json:"build"`
	Slots     int             `json:"slots"`
	Kinds     []Kind          `json:"kinds"` // that it has handlers for, in order; none means every kind
	StartedAt time.Time       `json:"started_at"`
	BeatAt    time.Time       `json:"beat_at"` // the last sign of life, on the ledger's clock
	Draining  bool            `json:"draining"`
	Running   []ActiveAttempt `json:"running"`
}

// ActiveAttempt is an attempt at work.
type ActiveAttempt struct {
	Job       string    `json:"job"`
	Kind      Kind      `json:"kind"`
	Attempt   int       `json:"attempt"`
	StartedAt time.Time `json:"started_at"`
	Progress  Progress  `json:"progress"`
	Stuck     bool      `json:"stuck,omitempty"`
}

// Actions of the audit log that change no job and no queue.
const (
	AuditSignIn       = "sign-in"
	AuditSignInFailed = "sign-in.failed"
)

// AuditQuery selects a page of the audit log. The zero value is its newest entries.
type AuditQuery struct {
	// SignIns selects the sign-ins, made and refused; without it they are left out,
	// so that those who cannot sign in do not hide what others have done.
	SignIns bool
	// Before leaves out the entry of this Seq and newer ones; 0 leaves out none.
	Before int64
	// Limit is the most entries, 1 to 500. Defaults to 100.
	Limit int
}

// AuditEntry is one action of a person.
type AuditEntry struct {
	Seq    int64     `json:"seq,omitempty"` // newer ones have higher numbers
	At     time.Time `json:"at"`
	Who    string    `json:"who"`
	Action string    `json:"action"` // such as "job.retry" or "queue.pause"
	Target string    `json:"target"` // a job id, a queue
	Detail string    `json:"detail,omitempty"`
	From   string    `json:"from,omitempty"` // the remote address
}

// Accepting is the answer to one of many requests.
type Accepting struct {
	Job     Job
	Created bool // false when the job existed already; Job.Changed says what was brought forward
	Err     error
}
