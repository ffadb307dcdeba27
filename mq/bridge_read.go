package mq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"evalq/tasks"
)

// bridged is what a message of the old contract says.
type bridged struct {
	kind MessageType
	ids  ids
}

// readBridged reads a message. The error says why it cannot be submitted and
// quotes nothing of it. No message may end the program.
func readBridged(body []byte) (read bridged, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("reading it panicked")
		}
	}()
	if len(body) > MaxMessage {
		return bridged{}, fmt.Errorf("%d bytes are more than %d", len(body), MaxMessage)
	}
	m, err := readMessage(body)
	if err != nil {
		return bridged{}, err
	}
	if !m.Type.known() {
		_, err := payloadOf(m.Type, 1, 1)
		return bridged{}, err
	}
	found, err := readIDs(m.Payload)
	if err != nil {
		return bridged{}, err
	}
	return bridged{m.Type, found}, nil
}

// maxCandidates bounds how many interviews a reason names.
const maxCandidates = 8

// resolve looks for the interview that damaged ids can mean. Without a reason
// there is exactly one.
func resolve(ctx context.Context, ledger BridgeLedger, found ids) (user, report int64, reason string, err error) {
	pairs, err := ledger.Interviews(ctx, found.User.Low, found.User.High, found.Report.Low, found.Report.High, maxCandidates+1)
	if err != nil {
		return 0, 0, "", err
	}
	slices.SortFunc(pairs, func(a, b [2]int64) int { return slices.Compare(a[:], b[:]) })
	if pairs = slices.Compact(pairs); len(pairs) == 1 {
		return pairs[0][0], pairs[0][1], "", nil
	}
	return 0, 0, found.damage() + "; " + candidates(pairs), nil
}

// damage says what is known of ids that went through a float64.
func (i ids) damage() string {
	var parts []string
	for _, f := range []struct {
		name string
		id   id
	}{{"user_id", i.User}, {"report_id", i.Report}} {
		if f.id.exact() {
			parts = append(parts, fmt.Sprintf("%s is %d", f.name, f.id.Low))
			continue
		}
		parts = append(parts, fmt.Sprintf("%s is above 2^53 and went through a float64, the true one lies in %d to %d", f.name, f.id.Low, f.id.High))
	}
	return strings.Join(parts, ", ")
}

func candidates(pairs [][2]int64) string {
	if len(pairs) == 0 {
		return "no such interview is known yet: try again when it has arrived, or name the true ids"
	}
	var parts []string
	for _, p := range pairs[:min(len(pairs), maxCandidates)] {
		parts = append(parts, fmt.Sprintf("user_id %d report_id %d", p[0], p[1]))
	}
	if len(pairs) > maxCandidates {
		parts = append(parts, "and more")
	}
	return "several interviews may be meant, name the true ids: " + strings.Join(parts, ", ")
}

// Replay reads once more what a bridge has set aside, and submits it as a wish of a
// person, whom who names: a dead job is revived. UserID and reportID, when they are
// not 0, name the true ids of a message whose ids a float64 has changed. A
// *tasks.InvalidError says why it cannot be submitted now either.
func Replay(ctx context.Context, ledger BridgeLedger, body []byte, userID, reportID int64, who string) (tasks.Job, error) {
	switch {
	case isNil(ledger):
		return tasks.Job{}, errors.New("mq: replay a message: the ledger is nil")
	case ctx == nil:
		return tasks.Job{}, fmt.Errorf("mq: replay a message: %w", errNilContext)
	}
	payload, err := replayed(ctx, ledger, body, userID, reportID)
	if err != nil {
		return tasks.Job{}, err
	}
	out := ledger.AcceptMany(ctx, []tasks.Request{{Payload: payload}}, who)
	if len(out) != 1 {
		return tasks.Job{}, fmt.Errorf("mq: replay a message: the ledger gave %d answers: %w", len(out), tasks.ErrOutcomeUnknown)
	}
	if out[0].Err != nil {
		return tasks.Job{}, fmt.Errorf("mq: replay a message: %w", out[0].Err)
	}
	return out[0].Job, nil
}

func replayed(ctx context.Context, ledger BridgeLedger, body []byte, userID, reportID int64) (tasks.Payload, error) {
	read, err := readBridged(body)
	if err != nil {
		return nil, invalid(err)
	}
	named := read.ids
	for _, f := range []struct {
		name string
		id   *id
		true int64
	}{{"user_id", &named.User, userID}, {"report_id", &named.Report, reportID}} {
		switch {
		case f.true == 0:
		case f.true < f.id.Low || f.true > f.id.High:
			return nil, invalid(fmt.Errorf("%s: the message cannot mean %d: %s", f.name, f.true, read.ids.damage()))
		default:
			*f.id = id{f.true, f.true}
		}
	}
	user, report := named.User.Low, named.Report.Low
	if !named.exact() {
		var reason string
		if user, report, reason, err = resolve(ctx, ledger, named); err != nil {
			return nil, fmt.Errorf("mq: replay a message: %w", err)
		}
		if reason != "" {
			return nil, invalid(errors.New(reason))
		}
	}
	return payloadOf(read.kind, user, report)
}
