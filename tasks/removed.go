package tasks

import "fmt"

// Removed counts what a purge or an erasure has taken away, or would.
type Removed struct {
	Jobs        int `json:"jobs"`
	Results     int `json:"results"`
	Attempts    int `json:"attempts"`
	Events      int `json:"events"`
	Checkpoints int `json:"checkpoints"`
	Interviews  int `json:"interviews"`
	Quarantined int `json:"quarantined"` // payloads that could not be read
	// Doubtful is how many of Quarantined have the user's id in them and do not say
	// that it is a user's.
	Doubtful int `json:"doubtful"`
	Tasks    int `json:"tasks"` // in Redis
	// Running is how many jobs were asked to stop and are still at work; they go
	// when they have stopped.
	Running int `json:"running"`
	// Done is false while something is left: ask again.
	Done bool `json:"done"`
}

// Plus adds what a later call has taken away; how far it is is the later one's.
func (r Removed) Plus(later Removed) Removed {
	later.Jobs += r.Jobs
	later.Results += r.Results
	later.Attempts += r.Attempts
	later.Events += r.Events
	later.Checkpoints += r.Checkpoints
	later.Interviews += r.Interviews
	later.Quarantined += r.Quarantined
	later.Doubtful += r.Doubtful
	later.Tasks += r.Tasks
	return later
}

// Scope is what the keys of a job's own checkpoints are unique in.
func (j Job) Scope() string {
	return fmt.Sprintf("job:%s:%d:%d:%d", j.Kind, j.UserID, j.ReportID, j.Revision)
}

// ReportScope is that of the checkpoints which all jobs of one user's report
// share.
func (j Job) ReportScope() string { return fmt.Sprintf("report:%d:%d", j.UserID, j.ReportID) }
