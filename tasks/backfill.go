package tasks

import "time"

// Backfill says which interviews without a stored result are submitted.
type Backfill struct {
	// DryRun counts and changes nothing.
	DryRun bool
	// UserID limits it to one user's interviews; 0 is everybody's.
	UserID int64
	// OlderThan is how long ago the newest answer must have been given: who gave it
	// may be about to submit.
	OlderThan time.Duration
	// Limit is the most interviews for which something is done; 0 is no limit.
	Limit int
	// Cursor is the Next of what came before.
	Cursor string
}

// Backfilled counts what a backfill has found and done, or in a dry run would.
type Backfilled struct {
	// Looked is how many interviews were looked at.
	Looked int `json:"looked"`
	// Interviews is for how many of them something was done.
	Interviews int `json:"interviews"`
	// Kinds has the counts of each built-in kind.
	Kinds map[Kind]BackfilledKind `json:"kinds"`
	// Left names jobs that were left alone because they are dead or cancelled, the
	// first few of them.
	Left []string `json:"left,omitempty"`
	// Next is where to go on; empty when there are no more interviews.
	Next string `json:"next,omitempty"`
}

// BackfilledKind counts interviews in which something was answered and which have
// no result of one kind, or an empty one. Found is the sum of the others.
type BackfilledKind struct {
	Found     int `json:"found"`
	Submitted int `json:"submitted"` // with low priority
	Underway  int `json:"underway"`  // a job for it exists and is not finished
	Dead      int `json:"dead"`      // left alone: the job is dead
	Cancelled int `json:"cancelled"` // left alone: the job was cancelled
	Skipped   int `json:"skipped"`   // the job found nothing to evaluate
	Young     int `json:"young"`     // left to whoever is to submit it
	// Rewritten is how many stored results were written into the platform's tables
	// again, from which they were missing.
	Rewritten int `json:"rewritten"`
	// Failed is how many of those could not be written; the server's log says why.
	Failed int `json:"failed"`
}

// MaxLeft is how many jobs Backfilled.Left names at most.
const MaxLeft = 20

// Plus adds what a later call has found; how far it is is the later one's.
func (b Backfilled) Plus(later Backfilled) Backfilled {
	out := Backfilled{Looked: b.Looked + later.Looked, Interviews: b.Interviews + later.Interviews, Kinds: map[Kind]BackfilledKind{}, Next: later.Next}
	for _, k := range Kinds() {
		x, y := b.Kinds[k], later.Kinds[k]
		out.Kinds[k] = BackfilledKind{
			Found: x.Found + y.Found, Submitted: x.Submitted + y.Submitted, Underway: x.Underway + y.Underway,
			Dead: x.Dead + y.Dead, Cancelled: x.Cancelled + y.Cancelled, Skipped: x.Skipped + y.Skipped,
			Young: x.Young + y.Young, Rewritten: x.Rewritten + y.Rewritten, Failed: x.Failed + y.Failed,
		}
	}
	out.Left = append(append(out.Left, b.Left...), later.Left...)
	out.Left = out.Left[:min(len(out.Left), MaxLeft)]
	return out
}
