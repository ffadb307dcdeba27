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
	Accepted:  {Queued, Held, Cancelled, Dead},
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
	// No worker that is at work handles the job's kind: until one does, or the wait
	// is over.
	HoldNoWorker Hold = "no worker for its kind"
	// Only some workers handle the job's kind, and enough jobs of it wait for those
	// in Asynq already.
	HoldWorkersBusy Hold = "workers of its kind are busy"
)

// holdSentences are for the person who waits.
var holdSentences = map[Hold]struct{ zh, en string }{
	HoldNoWorker:    {"目前运行的评估程序都不支持这种评估，支持后会自动继续，您无需操作。", "No evaluation program that runs now knows this kind of evaluation; yours goes on by itself when one does and you need not do anything."},
	HoldWorkersBusy: {"支持这种评估的程序正忙，稍后会自动继续，您无需操作。", "The evaluation programs for this kind are busy; yours goes on shortly and you need not do anything."},
}

// Sentence tells the person who waits what for, or is empty. Lang is "zh" or "en";
// anything else is English.
func (h Hold) Sentence(lang string) string {
	if lang == "zh" {
		return holdSentences[h].zh
	}
	return holdSentences[h].en
}
