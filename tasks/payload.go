package tasks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// MaxData is the largest Custom.Data, in bytes.
const MaxData = 256 << 10

// Payload is what a job is about. EvaluationReport, TopicEvaluation and Custom
// are payloads; there are no others.
type Payload interface {
	// Kind is the kind of job that the payload asks for.
	Kind() Kind
	// Subject gives the two ids, each 1 … 2^63-1 in a valid payload.
	Subject() (userID, reportID int64)
	// Validate names the first field that is wrong.
	Validate() error
}

// EvaluationReport asks for the comprehensive evaluation of one interview.
type EvaluationReport struct {
	UserID   int64 `json:"user_id"`   // 1 … 2^63-1
	ReportID int64 `json:"report_id"` // 1 … 2^63-1; the interview's id
}

// Kind is KindEvaluationReport.
func (EvaluationReport) Kind() Kind { return KindEvaluationReport }

// Subject gives the ids.
func (p EvaluationReport) Subject() (int64, int64) { return p.UserID, p.ReportID }

// Validate refuses ids below 1.
func (p EvaluationReport) Validate() error { return validateIDs(p.UserID, p.ReportID) }

// TopicEvaluation asks for the evaluation of each answer of one interview.
type TopicEvaluation struct {
	UserID   int64 `json:"user_id"`   // 1 … 2^63-1
	ReportID int64 `json:"report_id"` // 1 … 2^63-1; the interview's id
}

// Kind is KindTopicEvaluation.
func (TopicEvaluation) Kind() Kind { return KindTopicEvaluation }

// Subject gives the ids.
func (p TopicEvaluation) Subject() (int64, int64) { return p.UserID, p.ReportID }

// Validate refuses ids below 1.
func (p TopicEvaluation) Validate() error { return validateIDs(p.UserID, p.ReportID) }

// Custom asks for a job of a platform's own kind, for which the platform
// brings a handler. Data is kept in the ledger and handed to the handler. It
// never enters a log, nor Redis, unless a client with a redis:// URL submits it:
// that has nowhere else to put it.
type Custom struct {
	Name     Kind            `json:"-"`
	UserID   int64           `json:"user_id"`
	ReportID int64           `json:"report_id"`
	Data     json.RawMessage `json:"data,omitempty"` // a JSON value of at most MaxData bytes
}

// Kind is the custom name.
func (p Custom) Kind() Kind { return p.Name }

// Subject gives the ids.
func (p Custom) Subject() (int64, int64) { return p.UserID, p.ReportID }

// Validate refuses a bad name, ids below 1, and data that is no JSON or too large.
func (p Custom) Validate() error {
	if err := p.Name.Validate(); err != nil {
		return err
	}
	if p.Name.Builtin() {
		return fmt.Errorf("kind %q is built in: use tasks.EvaluationReport or tasks.TopicEvaluation", p.Name)
	}
	if len(p.Data) > MaxData {
		return fmt.Errorf("data: %d bytes, at most %d are taken: store large inputs elsewhere and pass their key", len(p.Data), MaxData)
	}
	if len(p.Data) > 0 {
		if err := checkJSON(p.Data, 1); err != nil { // 1: it is a field of the payload
			return fmt.Errorf("data: %w", err)
		}
	}
	return validateIDs(p.UserID, p.ReportID)
}

func validateIDs(user, report int64) error {
	if user < 1 {
		return errors.New("user_id: must be a whole number from 1 to 9223372036854775807")
	}
	if report < 1 {
		return errors.New("report_id: must be a whole number from 1 to 9223372036854775807")
	}
	return nil
}

// Parse is the inverse of Encode: it reads the JSON object of a payload of the
// given kind. It refuses unknown and duplicate fields, ids that are missing,
// fractional, strings or out of range, NUL characters, and trailing data. Ids
// keep every digit. Its errors name the field and never quote a value.
func Parse(kind Kind, data []byte) (Payload, error) {
	if err := kind.Validate(); err != nil {
		return nil, err
	}
	if err := CheckJSON(data); err != nil {
		return nil, err
	}
	var raw struct {
		UserID   json.RawMessage `json:"user_id"`
		ReportID json.RawMessage `json:"report_id"`
		Data     json.RawMessage `json:"data"`
	}
	if err := DecodeStrict(data, &raw); err != nil {
		return nil, err
	}
	user, err := ParseID("user_id", raw.UserID)
	if err != nil {
		return nil, err
	}
	report, err := ParseID("report_id", raw.ReportID)
	if err != nil {
		return nil, err
	}
	if kind.Builtin() && raw.Data != nil {
		return nil, fmt.Errorf("data: not used by %q; only kinds of your own carry data", kind)
	}
	p := NewPayload(kind, user, report, raw.Data)
	return p, p.Validate()
}

// NewPayload builds the payload of a kind. Data is ignored by the built-in
// kinds. The result still has to be validated.
func NewPayload(kind Kind, userID, reportID int64, data json.RawMessage) Payload {
	switch kind {
	case KindEvaluationReport:
		return EvaluationReport{UserID: userID, ReportID: reportID}
	case KindTopicEvaluation:
		return TopicEvaluation{UserID: userID, ReportID: reportID}
	}
	if bytes.Equal(data, []byte("null")) {
		data = nil
	}
	return Custom{Name: kind, UserID: userID, ReportID: reportID, Data: data}
}

// Encode writes p as the JSON object that Parse reads.
func Encode(p Payload) ([]byte, error) {
	if err := validatePayload(p); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	// Escapes for HTML would make Data longer than Parse allows.
	enc.SetEscapeHTML(false)
	if err := enc.Encode(p); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// ParseID reads one id from its JSON text: a whole number from 1 to 2^63-1,
// written with digits only. Field names the id in errors.
func ParseID(field string, raw []byte) (int64, error) {
	text := strings.TrimSpace(string(raw))
	if text == "" || text == "null" {
		return 0, fmt.Errorf("%s: missing; give a whole number from 1 to 9223372036854775807", field)
	}
	var id int64
	if text[0] == '"' || json.Unmarshal([]byte(text), &id) != nil || id < 1 {
		return 0, fmt.Errorf("%s: must be a whole number from 1 to 9223372036854775807, written with digits only", field)
	}
	return id, nil
}

// Request is a payload with the wishes that go with it.
type Request struct {
	Payload Payload
	// Priority is the queue. Empty means Default. A job that is under way moves to
	// it if it is more urgent, and never to a less urgent one.
	Priority Priority
	// RunAt is the earliest time to run. Zero means now. A job that waits for a
	// later time is brought forward to it, and never put off.
	RunAt time.Time
	// Anew asks that a cancelled job be taken up again; without it a cancelled
	// job stays cancelled.
	Anew bool
	// Passive leaves a dead or cancelled job as it is. Bridges and backfills
	// set it: they repeat old wishes, not new ones.
	Passive bool
	// NewKind says that the kind is new. Without it a kind for which no worker has
	// had a handler lately is refused as a mistake; with it the job waits for a
	// worker.
	NewKind bool
}

// validatePayload refuses nil and types of others before it calls a method of p.
func validatePayload(p Payload) error {
	switch p.(type) {
	case nil:
		return errors.New("payload: missing; give tasks.EvaluationReport, tasks.TopicEvaluation or tasks.Custom")
	case EvaluationReport, TopicEvaluation, Custom:
	default:
		// A pointer would pass for a payload and lose its data on the way.
		return fmt.Errorf("payload: %T is none; give a value of tasks.EvaluationReport, tasks.TopicEvaluation or tasks.Custom", p)
	}
	if err := p.Kind().Validate(); err != nil {
		return err
	}
	return p.Validate()
}

// Validate names the first field that is wrong.
func (r Request) Validate() error {
	if err := validatePayload(r.Payload); err != nil {
		return err
	}
	if r.Priority != "" {
		if err := r.Priority.Validate(); err != nil {
			return err
		}
	}
	if !r.RunAt.IsZero() && (r.RunAt.Year() < 2000 || r.RunAt.Year() > 2200) {
		return errors.New("run_at: must lie in the years 2000 to 2200")
	}
	return nil
}
