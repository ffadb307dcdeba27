package tasks

import (
	"encoding/json"
	"slices"
	"time"
)

// Delivery is one arrival of a job's task at a worker.
type Delivery struct {
	Job    string // job id
	Number int    // the delivery in the task's id
	Worker string // id of the worker process
	// Kinds are those that the worker has handlers for. Nil means every kind.
	Kinds []Kind
	// Retried is Asynq's own count of retries, which tells a task that an
	// operator ran by hand from one that Asynq brought back by itself.
	Retried int
	// Forced confirms a Doubtful delivery: Asynq says that the task had failed
	// before, so somebody ran it by hand.
	Forced bool
	// Again is set when the worker asks once more because the answer was lost,
	// and does not run the job: an attempt of its own on record is then this one.
	Again bool
}

// Handles reports whether the worker has a handler for k.
func (d Delivery) Handles(k Kind) bool { return d.Kinds == nil || slices.Contains(d.Kinds, k) }

// Outcome is the ledger's answer to a Delivery.
type Outcome string

// What a worker does with a delivery.
const (
	Mine     Outcome = "mine"     // run it
	Settled  Outcome = "settled"  // finished, or a newer delivery exists: acknowledge it
	Buried   Outcome = "buried"   // dead: let Asynq archive it
	Doubtful Outcome = "doubtful" // dead, and perhaps run by hand: confirm with Forced, or let Asynq archive it
	Busy     Outcome = "busy"     // another attempt is alive: acknowledge; the ledger delivers again if need be
	Locked   Outcome = "locked"   // another transaction has locked the job, nothing has changed: deliver it again later
	Unknown  Outcome = "unknown"  // no such job here
	Forged   Outcome = "forged"   // the ledger cannot have handed out this delivery, nothing has changed: set the task aside
	Others   Outcome = "others"   // this worker does not handle the job's kind and others do: deliver it again soon
)

// Claim is what Begin grants. Job is filled unless Outcome is Unknown or Locked, Policy
// when it is Mine.
type Claim struct {
	Outcome Outcome
	Job     Job
	Policy  Policy
}

// Fence names the attempt that a write belongs to. A write whose attempt is not
// the newest is refused with ErrStale.
type Fence struct {
	Job     string
	Attempt int
	Worker  string
}

// Finish is the end of an attempt that did its work.
type Finish struct {
	Result  json.RawMessage // stored once, with the state, in one transaction
	Judge   string          // what made it
	Skipped string          // when not empty: nothing was to do, for this reason
}

// Trouble is the end of an attempt that did not.
type Trouble struct {
	Failure
	// After is how long the other side asked us to wait.
	After time.Duration
	// Hold and HoldFor are set when the attempt only waits for something.
	Hold    Hold
	HoldFor time.Duration
	// HandBack is set when the attempt was cut short by a shutdown: it costs
	// nothing and the job is delivered again at once.
	HandBack bool
	// Cancelled is set when the handler stopped because the job was cancelled.
	Cancelled bool
	// Retried is Asynq's own count of retries at this delivery.
	Retried int
	// Queue is the one that the task is in; empty when that is not known. It is not
	// the job's when the job was brought forward meanwhile.
	Queue Priority
}

// Verdict is what the ledger decided about a Trouble.
type Verdict struct {
	State State         // the state that the job is in now
	Delay time.Duration // until the next attempt, when State is Retrying, or Accepted after a failure
	// Charged says whether the attempt cost one of the budget.
	Charged bool
}

// Checkpoint is the stored or claimed outcome of one paid step.
type Checkpoint struct {
	// Done is set when the step was finished earlier; Value is what it gave.
	Done  bool
	Value json.RawMessage
	// Taken is set when another live attempt is at work on the step; Owner is
	// its job.
	Taken bool
	Owner string
}
