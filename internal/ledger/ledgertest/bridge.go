package ledgertest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"evalq/internal/ledger"
	"evalq/tasks"
)

func (w *world) bridge() []tasks.BridgeChannel {
	w.t.Helper()
	all, err := w.Bridge(w.ctx)
	w.must(err)
	return all
}

func bridgeCounts(w *world) {
	if all := w.bridge(); len(all) != 0 {
		w.t.Fatalf("before any bridge: %+v", all)
	}
	began := w.clock.Now()
	all := tasks.BridgeChannel{
		Channel: "c:a", Received: 1, Submitted: 2, Existing: 3, Resolved: 4, Quarantined: 5, Unkept: 6, Lost: 7,
		Gaps: 8, GapMS: 9, ShadowFound: 10, ShadowMissing: 1 << 40, SeenAt: began.Add(time.Hour),
	}
	w.must(w.CountBridge(w.ctx, []tasks.BridgeChannel{all, {Channel: "c:b"}}, 0))
	w.clock.pass(time.Minute)
	w.must(w.CountBridge(w.ctx, []tasks.BridgeChannel{{Channel: "c:a", Received: 1}, {Channel: "c:b", Gaps: 1, GapMS: 2, SeenAt: began}}, -1))
	later := w.clock.Now()
	all.Received, all.LastAt, all.GapAt, all.SeenAt = 2, later, began, began
	want := []tasks.BridgeChannel{all, {Channel: "c:b", Gaps: 1, GapMS: 2, GapAt: later, SeenAt: later}}
	if got := w.bridge(); !slices.Equal(got, want) {
		w.t.Fatalf("counted\n%+v, want\n%+v", got, want)
	}
	w.clock.pass(-time.Hour) // a clock that goes back hides nothing
	w.must(w.CountBridge(w.ctx, []tasks.BridgeChannel{{Channel: "c:a", Received: 1, SeenAt: began}}, -1))
	if got := w.bridge()[0]; got.LastAt != later || got.SeenAt != began || got.Received != 3 {
		w.t.Fatalf("after the clock went back: %+v", got)
	}
}

func bridgeAway(w *world) {
	seen := []tasks.BridgeChannel{{Channel: "c", SeenAt: w.clock.Now()}}
	w.must(w.CountBridge(w.ctx, seen, 0))
	w.clock.pass(2 * time.Second)
	w.must(w.CountBridge(w.ctx, seen, 3*time.Second)) // a second one begins beside the first
	w.clock.pass(40 * time.Second)
	w.must(w.CountBridge(w.ctx, seen, -1)) // it was only slow
	if got := w.bridge()[0]; got.Gaps != 0 {
		w.t.Fatalf("without a gap: %+v", got)
	}
	w.clock.pass(5 * time.Second)
	w.must(w.CountBridge(w.ctx, seen, 3*time.Second))
	w.clock.pass(time.Second)
	w.must(w.CountBridge(w.ctx, seen, 0)) // nobody else was subscribed, that is sure
	if got := w.bridge()[0]; got.Gaps != 2 || got.GapMS != 6000 || got.GapAt != w.clock.Now() {
		w.t.Fatalf("with two gaps: %+v", got)
	}
}

func interviewsWithin(w *world) {
	const edge = int64(1 << 53)
	for _, p := range [][2]int64{{7, 41}, {7, 42}, {8, 43}, {edge + 1, 44}, {7, edge + 1}, {7, 1<<63 - 1}} {
		w.put(interview(p[0], p[1], "x"))
	}
	for _, c := range []struct {
		userLow, userHigh, reportLow, reportHigh int64
		limit                                    int
		want                                     [][2]int64
	}{
		{7, 7, 41, 43, 9, [][2]int64{{7, 41}, {7, 42}}},
		{1, 9, 41, 43, 2, [][2]int64{{7, 41}, {7, 42}}},
		{edge, edge + 2, 1, 100, 9, [][2]int64{{edge + 1, 44}}},
		{7, 7, edge + 1, edge + 1, 9, [][2]int64{{7, edge + 1}}},
		{7, 7, edge - 1, edge, 9, nil},
		{1, 1<<63 - 1, 1<<63 - 512, 1<<63 - 1, 9, [][2]int64{{7, 1<<63 - 1}}},
	} {
		got, err := w.Interviews(w.ctx, c.userLow, c.userHigh, c.reportLow, c.reportHigh, c.limit)
		w.must(err)
		if !slices.Equal(got, c.want) {
			w.t.Errorf("%+v: got %v", c, got)
		}
	}
}

func quarantineIsBounded(w *world) {
	things := func(from, to int) (qs []tasks.Quarantined, bodies [][]byte) {
		for n := from; n < to; n++ {
			qs = append(qs, tasks.Quarantined{Source: "bridge", Queue: "c", Reason: "no JSON"})
			bodies = append(bodies, fmt.Appendf(nil, "garbage %d", n))
		}
		return qs, bodies
	}
	add := func(from, to, most, want int) {
		w.t.Helper()
		qs, bodies := things(from, to)
		kept, err := w.QuarantineMany(w.ctx, qs, bodies, most)
		w.must(err)
		if kept != want {
			w.t.Fatalf("%d to %d: %d are kept, want %d", from, to, kept, want)
		}
	}
	w.must(w.Quarantine(w.ctx, tasks.Quarantined{Source: "asynq", TaskID: "x"}, nil)) // another source does not count
	add(0, 0, 5, 0)
	add(0, 4, 5, 4)
	add(2, 8, 5, 3) // two are there, one has room
	add(0, 5, 5, 5) // all are there
	open, _, err := w.InQuarantine(w.ctx, false, 100)
	w.must(err)
	if len(open) != 6 {
		w.t.Fatalf("%d are open", len(open))
	}
	first := open[len(open)-2]
	w.must(w.Settle(w.ctx, first.ID, "op", "discarded"))
	add(20, 21, 5, 1) // a settled one makes room
	add(0, 1, 5, 0)   // and does not come back without it
	if _, _, err := w.QuarantinedBody(w.ctx, first.ID); err == nil {
		w.t.Fatal("a settled one came back")
	}
	add(0, 1, 6, 1)
	q, body, err := w.QuarantinedBody(w.ctx, first.ID)
	if err != nil || string(body) != "garbage 0" || q.Source != "bridge" || q.Queue != "c" || q.Reason != "no JSON" || q.Size != 9 {
		w.t.Fatalf("it is %+v %q, %v", q, body, err)
	}
	w.must(w.StillQuarantined(w.ctx, first.ID, "still no JSON"))
	if q, _, err = w.QuarantinedBody(w.ctx, first.ID); err != nil || q.Reason != "still no JSON" {
		w.t.Fatalf("it is %+v, %v", q, err)
	}
}

// quarantineKeepsOneOfATask: a worker and a relay read the same task in two ways.
func quarantineKeepsOneOfATask(w *world) {
	q := tasks.Quarantined{Source: "asynq", Queue: "default", TaskID: "x", Reason: "no JSON"}
	w.must(w.Quarantine(w.ctx, q, []byte("payload")))
	w.must(w.Quarantine(w.ctx, q, []byte("message with payload")))
	q.TaskID = "large"
	w.must(w.Quarantine(w.ctx, q, make([]byte, 2<<20)))
	kept, open, err := w.InQuarantine(w.ctx, false, 10)
	w.must(err)
	if open != 2 || kept[0].Size >= 1<<20 || !strings.Contains(kept[0].Reason, "2097152 bytes") {
		w.t.Errorf("%d open: %+v", open, kept)
	}
	for range 3 {
		kept, err := w.QuarantineMany(w.ctx, []tasks.Quarantined{{Source: "asynq", TaskID: "more"}}, [][]byte{nil}, 2)
		w.must(err)
		if kept != 0 {
			w.t.Error("kept without room")
		}
	}
	if n, last, err := w.Dropped(w.ctx); err != nil || n != 3 || last.IsZero() {
		w.t.Errorf("%d dropped, the last at %v, %v", n, last, err)
	}
}

// erasedFromQuarantine: a float64 makes 2^53 of 2^53 + 1, so what came as the one
// may be about the other.
func erasedFromQuarantine(w *world) {
	const edge = int64(1 << 53)
	for n, user := range []string{"9007199254740992", "9007199254740993.0", "9007199254740994", `"9007199254740992"`, "7"} {
		body := fmt.Appendf(nil, `{"type":"evaluation_report","payload":{"report_id":%d,"user_id":%s}}`, n+1, user)
		w.must(w.Quarantine(w.ctx, tasks.Quarantined{Source: "bridge", Queue: "c", Reason: "damaged"}, body))
	}
	got, err := w.Erase(w.ctx, edge+1, ledger.Removal{})
	w.must(err)
	left, _, err := w.InQuarantine(w.ctx, true, 10)
	w.must(err)
	if got.Quarantined != 3 || len(left) != 2 { // a string may have been made from a float64 too
		w.t.Fatalf("removed %+v, left %+v", got, left)
	}
}
