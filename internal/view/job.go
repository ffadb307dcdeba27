// Package view is what callers see of jobs and of an interview's results: the
// same over HTTP and straight from the ledger.
package view

import "evalq/tasks"

// Job is a job as callers see it.
type Job struct {
	tasks.Job
	// Sentence is what to tell the person who waits, while the newest failure
	// matters or the job waits for a worker of its kind.
	Sentence *Sentence `json:"sentence,omitempty" doc:"What happened and whether to do anything, for the person who waits."`
}

// Sentence is one sentence in two languages.
type Sentence struct {
	Zh string `json:"zh"`
	En string `json:"en"`
}

// Of gives the view of a job.
func Of(j tasks.Job) Job {
	v := Job{Job: j}
	if en := j.Sentence("en"); en != "" {
		v.Sentence = &Sentence{Zh: j.Sentence("zh"), En: en}
	}
	return v
}

// All gives the view of each job.
func All(jobs []tasks.Job) []Job {
	out := make([]Job, len(jobs))
	for i, j := range jobs {
		out[i] = Of(j)
	}
	return out
}
