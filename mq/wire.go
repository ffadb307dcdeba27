package mq

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strconv"
	"strings"

	"evalq/tasks"
)

// maxExact is the number from which on a float64 may stand for several whole
// numbers: 2^53 is also what 2^53+1 becomes.
const maxExact = 1 << 53

// id is an id as it came. Low and High are equal when it is exact; else it went
// through a float64, and the true one is between them, ends included.
type id struct{ Low, High int64 }

func (i id) exact() bool { return i.Low == i.High }

// ids are the two that name an evaluation.
type ids struct{ User, Report id }

func (i ids) exact() bool { return i.User.exact() && i.Report.exact() }

// readIDs takes the ids out of a payload. An error names the field and never
// quotes its value.
func readIDs(payload map[string]any) (out ids, err error) {
	if out.User, err = readID(payload, "user_id"); err != nil {
		return ids{}, err
	}
	out.Report, err = readID(payload, "report_id")
	return out, err
}

func readID(payload map[string]any, field string) (id, error) {
	v, ok := payload[field]
	if !ok || v == nil {
		return id{}, fmt.Errorf("%s: missing", field)
	}
	switch v := v.(type) {
	case json.Number:
		return parseID(field, v.String(), false)
	case string:
		return parseID(field, v, true)
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Float64, reflect.Float32:
		if f := r.Float(); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return parseID(field, strconv.FormatFloat(f, 'f', -1, 64), false)
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return parseID(field, strconv.FormatInt(r.Int(), 10), true)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return parseID(field, strconv.FormatUint(r.Uint(), 10), true)
	}
	return id{}, fmt.Errorf("%s: neither a number nor a numeric string", field)
}

// maxLiteral bounds the text of an id, whose sign, zeros and exponent need no more.
const maxLiteral = 40

// parseID reads the text of an id. Text that was a string, or a whole number of
// the program's own, never went through a float64.
func parseID(field, text string, exact bool) (id, error) {
	refuse := func(why string) (id, error) { return id{}, fmt.Errorf("%s: %s", field, why) }
	if len(text) > maxLiteral {
		return refuse("too long for an id")
	}
	digits := text != "" && strings.Trim(text, "0123456789") == ""
	if exact && !digits && strings.Trim(text, "-0123456789") != "" {
		return refuse("not a whole number from 1 to 2^63-1")
	}
	n, ok := whole(text)
	switch {
	case !ok:
		return refuse("not a whole number")
	case n.Sign() <= 0:
		return refuse("not above 0")
	case !n.IsInt64():
		return refuse("above 2^63-1")
	}
	v := n.Int64()
	if exact || v < maxExact {
		return id{v, v}, nil
	}
	f, _ := new(big.Float).SetInt(n).Float64()
	if digits && text != strconv.FormatFloat(f, 'f', -1, 64) && text != strconv.FormatFloat(f, 'f', 0, 64) {
		return id{v, v}, nil // no float64 is ever written like this
	}
	return rounded(f), nil
}

// whole reads a JSON number that has no fraction. An exponent is allowed as far as
// an id can need it.
func whole(text string) (*big.Int, bool) {
	if _, exponent, ok := strings.Cut(strings.ToLower(text), "e"); ok {
		if e, err := strconv.Atoi(exponent); err != nil || e < -maxLiteral || e > maxLiteral {
			return nil, false
		}
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok || !r.IsInt() || strings.ContainsAny(text, "/_xXoObBpP") {
		return nil, false
	}
	return r.Num(), true
}

// rounded gives the whole numbers that become f, which is at least 2^53, as a
// float64: half a step on each side, and the ends only where the rule of even
// mantissas gives them to f.
func rounded(f float64) id {
	below, above := int64(f-math.Nextafter(f, 0))/2, int64(math.Nextafter(f, math.Inf(1))-f)/2
	low, high := new(big.Int), new(big.Int)
	middle, _ := new(big.Float).SetFloat64(f).Int(nil)
	low.Sub(middle, big.NewInt(below))
	high.Add(middle, big.NewInt(above))
	if math.Float64bits(f)&1 == 1 {
		if below > 0 {
			low.Add(low, big.NewInt(1))
		}
		high.Sub(high, big.NewInt(1))
	}
	if !high.IsInt64() {
		high.SetInt64(math.MaxInt64)
	}
	if !low.IsInt64() {
		low.SetInt64(math.MaxInt64)
	}
	return id{low.Int64(), high.Int64()}
}

// errDamaged is why ids are refused where nobody can look the true ones up.
var errDamaged = errors.New("an id above 2^53 went through a float64, which may have changed it: send it as an integer type or as a string")

// request turns a message of one of the two types into what is asked for.
func request(m *Message) (tasks.Payload, error) {
	found, err := readIDs(m.Payload)
	if err != nil {
		return nil, err
	}
	if !found.exact() {
		return nil, errDamaged
	}
	return payloadOf(m.Type, found.User.Low, found.Report.Low)
}

func payloadOf(t MessageType, user, report int64) (tasks.Payload, error) {
	switch t {
	case MessageTypeEvaluationReport:
		return tasks.EvaluationReport{UserID: user, ReportID: report}, nil
	case MessageTypeTopicEvaluation:
		return tasks.TopicEvaluation{UserID: user, ReportID: report}, nil
	}
	return nil, fmt.Errorf("type: neither %s nor %s", MessageTypeEvaluationReport, MessageTypeTopicEvaluation)
}

// readMessage reads a message as it is on the wire. Its names are matched like
// those of every Go program, without regard to case in the envelope. The error is
// meant for people and quotes nothing of the message.
func readMessage(body []byte) (*Message, error) {
	if err := tasks.CheckJSON(body); err != nil {
		return nil, err
	}
	var envelope struct {
		Type    *string         `json:"type"`
		Payload json.RawMessage `json:"payload"`
	}
	if err := json.Unmarshal(body, &envelope); err != nil || envelope.Type == nil {
		return nil, errors.New("no JSON object with the fields type and payload")
	}
	m := &Message{Type: MessageType(*envelope.Type)}
	if err := m.Type.validate(); err != nil {
		return nil, err
	}
	if len(envelope.Payload) == 0 || string(envelope.Payload) == "null" {
		return nil, errors.New("payload: missing")
	}
	decoded, err := decode(m.Type, envelope.Payload)
	if err != nil {
		return nil, fmt.Errorf("payload: no JSON object")
	}
	m.Payload = decoded.Payload
	return m, nil
}
