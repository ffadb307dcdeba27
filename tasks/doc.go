// Package tasks is the vocabulary of evalq: what can be asked for, how a job
// is named, which states it passes through and what an error means for it. It
// does no I/O and imports nothing else of evalq.
//
// A request starts as a Payload:
//
//	tasks.EvaluationReport{UserID: 7, ReportID: 42}
//	tasks.TopicEvaluation{UserID: 7, ReportID: 42}
//	tasks.Custom{Name: "resume_parse", UserID: 7, ReportID: 42}
//
// A Request adds priority and time to it. Once the ledger has committed a
// Request it is a Job, and from then on it moves only along the arrows of the
// table in state.go. Each try at a Job is an Attempt; each move is an Event.
//
// Handlers say how a failure is to be treated with NewError and Skip; callers
// ask with ClassOf, IsPermanent and RetryAfter.
package tasks
