package evaluation

import (
	"slices"
	"time"

	"evalq/tasks"
)

// Look is one page of the interviews, in the order of their report ids.
type Look struct {
	After  int64 // the report id after which it begins; 0 is the first page
	UserID int64 // only this user's; 0 is everybody's
	Limit  int   // how many interviews are looked at
}

// Backlog is what a look has found.
type Backlog struct {
	Looked int // interviews looked at
	Lacks  []Lack
	Next   int64 // After of the next page; 0 when this is the last
}

// Lack is an interview in which something was answered and of which results are
// missing.
type Lack struct {
	UserID, ReportID int64
	Age              time.Duration // since its newest answer
	Kinds            []tasks.Kind  // of the missing results
}

// Answered reports whether at least one question was answered.
func (in Interview) Answered() bool {
	return slices.ContainsFunc(in.Answers, func(a Answer) bool { return !a.Blank() })
}
