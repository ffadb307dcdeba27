package tasks

import "slices"

// State is where a job stands.
type State string

// The nine states. A job that is accepted is in the ledger; queued and retrying
// jobs also have a task in Asynq; a held job waits for something named by its
// Hold.
const (
	Accepted  State = "accepted"  // committed; waits in the ledger for its time or its turn
	Queued    State = "queued"    // handed to Asynq; waits for a worker
	Running   State = "running"   // an attempt is at work
	Retrying  State = "retrying"  // an attempt failed; the next is due at a set time
	Held      State = "held"      // waits for a named reason
	Succeeded State = "succeeded" // its result is stored
	Dead      State = "dead"      // gave up; a person can revive it
	Cancelled State = "cancelled" // somebody stopped it
	Skipped   State = "skipped"   // nothing to do, and that is no failure
)

// moves is the one table of legal moves. Whatever is not in it is refused by
// the ledger.
var moves = map[State][]State{
	Accepted:  {Queued, Cancelled, Dead},
	Queued:    {Running, Accepted, Held, Cancelled, Dead},
	Running:   {Succeeded, Retrying, Held, Accepted, Dead, Cancelled, Skipped},
	Retrying:  {Running, Accepted, Held, Cancelled, Dead},
	Held:      {Accepted, Cancelled, Dead},
	Dead:      {Accepted},
	Cancelled: {Accepted},
	Succeeded: {},
	Skipped:   {},
}

// States lists all states in the order of a job's life.
func States() []State {
	return []State{Accepted, Queued, Running, Retrying, Held, Succeeded, Dead, Cancelled, Skipped}
}

// CanMove reports whether a job may go from s to next. Staying is not a move.
func (s State) CanMove(next State) bool { return slices.Contains(moves[s], next) }

// Valid reports whether s is one of the nine.
func (s State) Valid() bool { _, ok := moves[s]; return ok }

// Finished reports whether nothing more happens to a job by itself: it has
// succeeded, was skipped, cancelled or is dead.
func (s State) Finished() bool {
	return s == Succeeded || s == Skipped || s == Cancelled || s == Dead
}

// Hold says what a held job waits for.
type Hold string

// The reasons to hold a job.
const (
	HoldNone             Hold = ""
	HoldInterviewMissing Hold = "interview missing"  // until the interview arrives, or the wait is over
	HoldAnswerInProgress Hold = "answer in progress" // another job is evaluating the same answer
)
