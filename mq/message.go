package mq

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"unicode"

	"evalq/tasks"
)

// MessageType says what a message asks for.
type MessageType string

// The two types that evalq evaluates itself. Others are allowed; they go to the
// handler that is given to Subscribe.
const (
	MessageTypeEvaluationReport MessageType = "evaluation_report"
	MessageTypeTopicEvaluation  MessageType = "topic_evaluation"
)

// Message is one wish. As JSON it is an object with exactly these two fields.
type Message struct {
	Type MessageType `json:"type"`
	// Payload of the two evaluation types has the fields user_id and report_id,
	// which Publish takes as numbers or numeric strings. A handler finds numbers below
	// 2^53 as float64, and larger whole ones, which a float64 would change, as
	// json.Number. These two fields are float64 below 2^53, else strings.
	Payload map[string]interface{} `json:"payload"`
}

// EvaluationReportPayload is the payload of MessageTypeEvaluationReport.
type EvaluationReportPayload struct {
	UserID   uint   `json:"user_id"`
	ReportID uint64 `json:"report_id"`
}

// TopicEvaluationPayload is the payload of MessageTypeTopicEvaluation.
type TopicEvaluationPayload struct {
	UserID   uint   `json:"user_id"`
	ReportID uint64 `json:"report_id"`
}

// MessageHandler deals with one message, which is its own: no other handler sees
// what it changes. An error makes the queue try again later: soon after the first
// failure, then ever later, five times in all. tasks.NewError gives the error a
// class that changes this: a permanent one sets the message aside at once, a
// transient one (such as tasks.ClassRateLimited) costs no try for 24 hours, and
// the time that the other side asked for is waited.
type MessageHandler func(ctx context.Context, message *Message) error

// MessageQueue is what every queue of this package is.
type MessageQueue interface {
	// Publish returns nil when the message is stored. It pays no heed to a ctx
	// that has ended, and has a time limit of its own. It does not keep message.
	// Errors: *tasks.InvalidError for a message that nobody could handle.
	Publish(ctx context.Context, message *Message) error
	// Subscribe gives messages to handler until ctx ends, and then returns its
	// error, or the queue is closed, and then returns nil. Handlers that run then
	// may finish for a while; after that their context ends and their message is
	// handed back to whoever subscribes next. Each message goes to one handler,
	// also when many have subscribed.
	Subscribe(ctx context.Context, handler MessageHandler) error
	// Close ends all Subscribe calls and waits for them. It may be called again. A
	// handler that calls it waits for itself until the handlers' time is over.
	Close() error
}

var (
	// ErrClosed: the queue was closed, and neither takes messages nor gives any.
	ErrClosed = errors.New("the message queue is closed")
	// ErrNoQueue: InitMessageQueue was not called. Nothing was published.
	ErrNoQueue = errors.New("there is no message queue: call mq.InitMessageQueue at the start of the program")
	// ErrNoConsumer: messages wait and nobody has subscribed, in any process.
	ErrNoConsumer = errors.New("messages wait and nobody has subscribed: start the consumer")
	// ErrNoService: there is nobody to evaluate what the consumer would receive.
	ErrNoService = errors.New("there is no evaluation service: call mq.SetEvaluationService with the platform's two functions, or mq.UseClient with a client of evalq, before the consumer starts")
)

// MaxMessage is the largest payload of a message as JSON, in bytes.
const MaxMessage = 8 << 20

const maxTypeLength = 100

// encode checks the message and gives its payload as JSON.
func (m *Message) encode() ([]byte, error) {
	if m == nil {
		return nil, invalid(errors.New("the message is nil"))
	}
	if err := m.Type.validate(); err != nil {
		return nil, invalid(err)
	}
	payload := m.Payload
	if payload == nil {
		payload = map[string]any{}
	}
	if m.Type.known() {
		asked, err := request(m)
		if err != nil {
			return nil, invalid(err)
		}
		payload = withIDs(payload, asked)
	}
	body, err := marshal(payload)
	if err != nil {
		return nil, invalid(errors.New("payload: it cannot be written as JSON; give strings, numbers, booleans, lists and maps"))
	}
	if len(body) > MaxMessage {
		return nil, invalid(fmt.Errorf("payload: %d bytes are more than %d; store the data elsewhere and send its id", len(body), MaxMessage))
	}
	return body, nil
}

// withIDs writes ids as the original does, however they were given, and large ones
// as strings, so that a reader knows that no float64 has changed them.
func withIDs(payload map[string]any, asked tasks.Payload) map[string]any {
	user, report := asked.Subject()
	payload = maps.Clone(payload)
	payload["user_id"], payload["report_id"] = written(user), written(report)
	return payload
}

func written(id int64) any {
	if id < maxExact {
		return id
	}
	return strconv.FormatInt(id, 10)
}

// marshal is json.Marshal, but for a value whose own method panics.
func marshal(v any) (body []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("a value panicked")
		}
	}()
	return json.Marshal(v)
}

func invalid(err error) error { return &tasks.InvalidError{Err: err} }

func (t MessageType) validate() error {
	switch {
	case t == "":
		return errors.New("type: missing")
	case len(t) > maxTypeLength:
		return fmt.Errorf("type: longer than %d bytes", maxTypeLength)
	case strings.ContainsFunc(string(t), func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }):
		return errors.New("type: has characters that cannot be shown")
	}
	return nil
}

// known reports whether evalq evaluates it.
func (t MessageType) known() bool {
	return t == MessageTypeEvaluationReport || t == MessageTypeTopicEvaluation
}

// decode makes a message that is its receiver's own.
func decode(t MessageType, payload []byte) (*Message, error) {
	m := &Message{Type: t, Payload: map[string]any{}}
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	if err := d.Decode(&m.Payload); err != nil {
		return nil, errors.New("the payload is no JSON object")
	}
	if m.Payload == nil {
		m.Payload = map[string]any{}
	}
	for k, v := range m.Payload {
		m.Payload[k] = asFloats(v)
	}
	return m, nil
}

// asFloats turns numbers into float64, as handlers have always found them, unless
// that would change them.
func asFloats(v any) any {
	switch v := v.(type) {
	case json.Number:
		if f, err := v.Float64(); err == nil && (f > -maxExact && f < maxExact || strings.ContainsAny(v.String(), ".eE")) {
			return f
		}
		return v
	case []any:
		for i := range v {
			v[i] = asFloats(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = asFloats(v[k])
		}
	}
	return v
}
