package api

import (
	"context"
	"encoding/json"

	"github.com/danielgtaylor/huma/v2"

	"evalq/internal/view"
	"evalq/tasks"
)

// Job is a job as callers see it.
type Job = view.Job

// Submission documents the body of a submission; decode reads it.
type Submission struct {
	Kind     string          `json:"kind" doc:"What to do: evaluation_report, topic_evaluation, or a kind that the platform brings." example:"evaluation_report"`
	UserID   int64           `json:"user_id" minimum:"1" doc:"Whose interview, 1 to 9223372036854775807." example:"7"`
	ReportID int64           `json:"report_id" minimum:"1" doc:"Which interview, 1 to 9223372036854775807." example:"42"`
	Priority string          `json:"priority,omitempty" enum:"critical,default,low" doc:"The queue; default when left out. A job that is under way moves to a more urgent one, never to a less urgent one."`
	RunAt    string          `json:"run_at,omitempty" format:"date-time" doc:"The earliest time to run. Left out, it is now. A job that waits for a later time is brought forward, and none is put off."`
	Anew     bool            `json:"anew,omitempty" doc:"Take a cancelled job up again; without it, a cancelled job stays so."`
	Passive  bool            `json:"passive,omitempty" doc:"Leave a dead job as it is; without it, submitting revives one with a fresh budget."`
	NewKind  bool            `json:"new_kind,omitempty" doc:"The kind is new: accept it although no worker has had a handler for it in the last 30 days. Its jobs wait for the first that has. Without it, such a kind is refused as a mistake."`
	Data     json.RawMessage `json:"data,omitempty" doc:"Any JSON value of at most 256 KiB, for a platform's own kinds only."`
}

var submissionFields = []string{"kind", "user_id", "report_id", "priority", "run_at", "anew", "passive", "new_kind", "data"}

// decode reads one submission. Every field that is wrong is named.
func decode(ctx context.Context, data []byte, check kindCheck) (tasks.Request, error) {
	raw, err := object(data, submissionFields...)
	if err != nil {
		return tasks.Request{}, err
	}
	f := &fields{where: "body", get: func(name string) (json.RawMessage, bool) { v, ok := raw[name]; return v, ok }}
	kind := tasks.Kind(f.text("kind", "a string"))
	newKind := len(f.wrong) == 0 && f.truth("new_kind")
	if len(f.wrong) == 0 {
		asked := tasks.Request{Payload: tasks.NewPayload(kind, 1, 1, nil), NewKind: newKind}
		if err := check.note(ctx, f, asked); err != nil {
			return tasks.Request{}, err
		}
	}
	r := tasks.Request{
		Payload:  tasks.NewPayload(kind, f.id("user_id"), f.id("report_id"), raw["data"]),
		Priority: tasks.Priority(f.text("priority", "a string")),
		RunAt:    f.time("run_at"),
		Anew:     f.truth("anew"),
		Passive:  f.truth("passive"),
		NewKind:  newKind,
	}
	if _, ok := raw["data"]; ok && kind.Builtin() {
		f.fail("data", errData)
	}
	if r.Priority != "" && r.Priority.Validate() != nil {
		f.fail("priority", errPriority)
	}
	if err := f.err(); err != nil {
		return r, err
	}
	if err := r.Validate(); err != nil {
		return r, inBody(err)
	}
	return r, nil
}

// idParam and the other string types below are read by us and documented as
// what they are.
type idParam string

// Schema documents an id.
func (idParam) Schema(huma.Registry) *huma.Schema {
	one := 1.0
	return &huma.Schema{Type: huma.TypeInteger, Format: "int64", Minimum: &one}
}

type limitParam string

// Schema documents a page size.
func (limitParam) Schema(huma.Registry) *huma.Schema {
	one, most := 1.0, 500.0
	return &huma.Schema{Type: huma.TypeInteger, Minimum: &one, Maximum: &most, Default: 50}
}

type boolParam string

// Schema documents yes or no.
func (boolParam) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeBoolean, Default: false}
}

type stateParam string

// Schema documents the states.
func (stateParam) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for _, state := range tasks.States() {
		s.Enum = append(s.Enum, string(state))
	}
	return s
}

type priorityParam string

// Schema documents the queues.
func (priorityParam) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for _, p := range tasks.Priorities() {
		s.Enum = append(s.Enum, string(p))
	}
	return s
}

type shapeParam string

const (
	shapeNative   shapeParam = "native"
	shapeOriginal shapeParam = "original"
)

// Schema documents the shapes of results.
func (shapeParam) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Enum: []any{string(shapeNative), string(shapeOriginal)}, Default: string(shapeNative)}
}
