package mq

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"evalq/tasks"
)

func TestAFloodOfGarbageIsKeptToABoundAndTheSameBytesOnce(t *testing.T) {
	t.Parallel()
	w := newBridgeWorld(t, nil)
	r := w.start(nil, func(b *Bridge) { b.most = 100 })
	channel := oldPrefix + string(MessageTypeEvaluationReport)
	const same, different = 3000, 3000
	pipe := w.rdb.Pipeline()
	for n := range same {
		pipe.Publish(t.Context(), channel, "always the same")
		pipe.Publish(t.Context(), channel, fmt.Sprintf("garbage %d", n))
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.publish(old(MessageTypeEvaluationReport, 7, 42))
	r.dealtWith(same + different + 1)
	w.wantOneJobEach(1)
	if n := len(w.quarantine()); n > 100+bridgeWorkers || n < 100 {
		t.Errorf("%d are kept, want 100", n)
	}
	c := sum(r)
	if c.Quarantined+c.Unkept != same+different || c.Unkept < different-100-2*bridgeWorkers {
		t.Errorf("counted %+v", c)
	}
	if n := strings.Count(w.log.String(), "has too many of the bridge"); n != 1 {
		t.Errorf("it is said %d times:\n%s", n, w.log)
	}
}

func TestAHugeMessageIsReadAndOfOneThatCannotBeOnlyTheBeginningIsKept(t *testing.T) {
	t.Parallel()
	w := newBridgeWorld(t, nil)
	r := w.start(nil)
	_, body := old(MessageTypeEvaluationReport, 7, 42)
	padding := strings.Repeat("x", 5<<20)
	w.publish(oldPrefix+string(MessageTypeEvaluationReport), strings.Replace(body, `{"report_id"`, `{"note":"`+padding+`","report_id"`, 1))
	w.publish(oldPrefix+string(MessageTypeEvaluationReport), padding)
	w.publish(oldPrefix+string(MessageTypeEvaluationReport), padding+padding)
	r.dealtWith(3)
	w.wantOneJobEach(1)
	aside := w.quarantine()
	if len(aside) != 1 { // they begin alike
		t.Fatalf("set aside: %+v", aside)
	}
	if aside[0].Size != quarantineBytes || !strings.Contains(aside[0].Reason, "only its beginning is kept") {
		t.Errorf("set aside: %+v", aside[0])
	}
}

func TestABridgeThatOnlyComparesSubmitsNothingAndSaysWhatWouldBeMissing(t *testing.T) {
	t.Parallel()
	w := newBridgeWorld(t, nil)
	r := w.start(&BridgeConfig{Shadow: true}, func(b *Bridge) { b.times.look = 200 * time.Millisecond })
	accept := func(user, report int64) {
		t.Helper()
		if _, _, err := w.db.Accept(t.Context(), tasks.Request{Payload: tasks.EvaluationReport{UserID: user, ReportID: report}}, "new way"); err != nil {
			t.Fatal(err)
		}
	}
	accept(7, 1)
	for report := int64(1); report <= 3; report++ {
		w.publish(old(MessageTypeEvaluationReport, 7, report))
	}
	w.publish(oldPrefix+string(MessageTypeEvaluationReport), "no JSON")
	accept(7, 2) // the new way may be a little slower
	r.dealtWith(4)
	if c := sum(r); c.ShadowFound != 2 || c.ShadowMissing != 1 || c.Unkept != 1 || c.Submitted+c.Existing+c.Quarantined != 0 {
		t.Fatalf("counted %+v", c)
	}
	w.publish(old(MessageTypeEvaluationReport, 7, 4))
	w.eventually("it is received", func() bool { return sum(r).Received == 5 })
	r.stop() // decides about what it has
	if c := sum(r); c.ShadowMissing != 2 || c.Lost != 0 {
		t.Fatalf("at the end: %+v", c)
	}
	w.wantOneJobEach(2)
	if n := len(w.quarantine()); n != 0 {
		t.Fatalf("%d are set aside", n)
	}
}

func TestDamagedIDsAreResolvedOnceTheirInterviewIsKnownOrNamed(t *testing.T) {
	t.Parallel()
	w := newBridgeWorld(t, nil)
	r := w.start(nil)
	const edge = int64(1 << 53)
	send := func(user, report string) {
		w.publish(oldPrefix+string(MessageTypeEvaluationReport), fmt.Sprintf(`{"type":"evaluation_report","payload":{"report_id":%s,"user_id":%s}}`, report, user))
	}
	send("7", "9007199254740992")
	r.dealtWith(1)
	q := w.quarantine()[0]
	_, body, err := w.db.QuarantinedBody(t.Context(), q.ID)
	if err != nil {
		t.Fatal(err)
	}
	replay := func(user, report int64) (tasks.Job, error) {
		return Replay(t.Context(), w.db, body, user, report, "op")
	}
	wantRefused := func(user, report int64, words string) {
		t.Helper()
		if j, err := replay(user, report); !isInvalid(err) || !strings.Contains(err.Error(), words) {
			t.Errorf("named %d %d: job %+v, %v; want %q", user, report, j, err, words)
		}
	}
	wantRefused(0, 0, "no such interview is known yet")
	wantRefused(0, edge+2, "cannot mean 9007199254740994: user_id is 7, report_id is above 2^53")
	wantRefused(8, 0, "user_id: the message cannot mean 8")
	w.put(7, edge+1)
	w.put(8, edge)
	j, err := replay(0, 0)
	if err != nil || j.UserID != 7 || j.ReportID != edge+1 {
		t.Fatalf("replayed as %+v, %v", j, err)
	}
	w.put(7, edge-1)
	w.put(7, edge+2) // outside of what is rounded to 2^53
	if again, err := replay(0, 0); err != nil || again.ID != j.ID {
		t.Fatalf("replayed again as %+v, %v", again, err)
	}
	w.put(9, edge+4)
	body = []byte(strings.Replace(string(body), "9007199254740992", "9007199254740996", 1))
	wantRefused(0, 0, "no such interview")
	w.put(7, edge+3)
	w.put(7, edge+5)
	wantRefused(0, 0, "several interviews may be meant, name the true ids: user_id 7 report_id 9007199254740995, user_id 7 report_id 9007199254740997")
	if named, err := replay(0, edge+5); err != nil || named.ReportID != edge+5 {
		t.Fatalf("named: %+v, %v", named, err)
	}
	// A person asks, so what is dead lives again.
	if _, err := w.db.Archive(t.Context(), j.ID, "op", ""); err != nil {
		t.Fatal(err)
	}
	if again, err := Replay(t.Context(), w.db, []byte(fmt.Sprintf(`{"type":"evaluation_report","payload":{"report_id":"%d","user_id":7}}`, edge+1)), 0, 0, "op"); err != nil || again.ID != j.ID || again.State != tasks.Accepted {
		t.Fatalf("a dead one is %+v, %v", again, err)
	}
	wantRefusedBody := func(body, words string) {
		t.Helper()
		if _, err := Replay(t.Context(), w.db, []byte(body), 7, 42, "op"); !isInvalid(err) || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", body, err)
		}
	}
	wantRefusedBody("no JSON", "not JSON")
	wantRefusedBody(`{"type":"evaluation_report","payload":{"report_id":41,"user_id":7}}`, "cannot mean 42: user_id is 7, report_id is 41")
}

func isInvalid(err error) bool {
	_, ok := err.(*tasks.InvalidError)
	return ok
}
