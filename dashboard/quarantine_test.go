package dashboard_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"evalq/dashboard"
	"evalq/tasks"
)

func TestWhatCannotBeReadIsShownWithItsReasonAndDiscardedOnRecord(t *testing.T) {
	t.Parallel()
	ledger, h := offline(t, nil)
	if a := get(h, "/"); strings.Contains(a.body, "in quarantine") {
		t.Error("the overview warns of an empty quarantine")
	}
	ledger.quarantine = []tasks.Quarantined{{ID: 3, At: time.Now(), Source: "asynq", Queue: "default", TaskID: "weird.1", Reason: "invalid_payload: not <JSON>", Size: 17}}
	if a := get(h, "/"); !strings.Contains(a.body, `href="/quarantine"><b>1</b> in quarantine`) {
		t.Error("the overview does not lead to the quarantine")
	}
	a := get(h, "/quarantine")
	for _, want := range []string{"weird.1", "invalid_payload: not &lt;JSON&gt;", `action="/quarantine/3/discard"`, "1 open"} {
		if a.status != http.StatusOK || !strings.Contains(a.body, want) {
			t.Errorf("the page (%d) lacks %q", a.status, want)
		}
	}
	if a := post(h, "/quarantine/3/discard", nil); a.status != http.StatusSeeOther {
		t.Fatalf("discard: %d", a.status)
	}
	if a := get(h, "/quarantine"); strings.Contains(a.body, "weird.1") {
		t.Error("what was discarded is among the open ones")
	}
	if a := get(h, "/quarantine?all=1"); !strings.Contains(a.body, "discarded by local") {
		t.Error("what was discarded is not among all")
	}
	for _, path := range []string{"/quarantine/3/discard", "/quarantine/x/discard", "/quarantine/0/discard"} {
		if a := post(h, path, nil); a.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	if entries, _ := ledger.AuditLog(t.Context(), 9); len(entries) == 0 || entries[len(entries)-1].Action != "quarantine.discard" {
		t.Errorf("the audit log has %+v", entries)
	}
}

func TestWhatCameOverTheBridgeIsTriedAgainByOperatorsAndOnRecord(t *testing.T) {
	t.Parallel()
	ledger, h := offline(t, &dashboard.Config{Users: []dashboard.User{
		{Name: "op", Secret: "operator-secret", Role: dashboard.Operator}, {Name: "vic", Secret: "viewer-secret-1", Role: dashboard.Viewer},
	}})
	op, vic := bearer("operator-secret"), bearer("viewer-secret-1")
	ledger.quarantine = []tasks.Quarantined{
		{ID: 3, At: time.Now(), Source: "asynq", Queue: "default", TaskID: "weird.1", Reason: "not JSON"},
		{ID: 4, At: time.Now(), Source: "bridge", Queue: "interview:messages:evaluation_report", Reason: "report_id is above 2^53"},
	}
	page := get(h, "/quarantine", op)
	if !strings.Contains(page.body, `action="/quarantine/4/replay"`) || strings.Contains(page.body, `action="/quarantine/3/replay"`) {
		t.Error("the button is missing, or at what did not come over the bridge")
	}
	if a := get(h, "/quarantine", vic); strings.Contains(a.body, "/replay") || !strings.Contains(a.body, "above 2^53") {
		t.Error("a viewer sees the button, or not the entry")
	}
	if a := post(h, "/quarantine/4/replay", nil, vic); a.status != http.StatusForbidden || len(ledger.replayed) != 0 {
		t.Fatalf("a viewer: %d", a.status)
	}
	if a := post(h, "/quarantine/4/replay", nil, op); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "several interviews may be meant") {
		t.Errorf("without the ids: %d %s", a.status, a.body)
	}
	if a := post(h, "/quarantine/4/replay", url.Values{"report": {"x"}}, op); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "report: must be") {
		t.Errorf("a report that is no number: %d", a.status)
	}
	if a := post(h, "/quarantine/4/replay", url.Values{"user": {" 7 "}, "report": {"9007199254740993"}}, op); a.status != http.StatusSeeOther {
		t.Fatalf("with the ids: %d %s", a.status, a.body)
	}
	if want := [][3]int64{{4, 0, 0}, {4, 7, 9007199254740993}}; !slices.Equal(ledger.replayed, want) {
		t.Errorf("asked for %v, want %v", ledger.replayed, want)
	}
	if a := get(h, "/quarantine?all=1", op); !strings.Contains(a.body, "replayed as job") {
		t.Error("the settled entry does not say as which job")
	}
	if entries, _ := ledger.AuditLog(t.Context(), 1); entries[0].Action != "quarantine.replay" || entries[0].Detail != "named user 7 report 9007199254740993" || entries[0].Who != "op" {
		t.Errorf("the audit log has %+v", entries[0])
	}
	if a := post(h, "/quarantine/0/replay", nil, op); a.status != http.StatusNotFound {
		t.Errorf("no such entry: %d", a.status)
	}
}

func TestTheBridgeIsShownWithItsGapsOnceThereWasOne(t *testing.T) {
	t.Parallel()
	ledger, h := offline(t, nil)
	if a := get(h, "/"); strings.Contains(a.body, "/bridge") {
		t.Error("the overview shows a bridge that never was")
	}
	if a := get(h, "/bridge"); a.status != http.StatusOK || !strings.Contains(a.body, "No bridge has ever been subscribed") {
		t.Errorf("without a bridge: %d", a.status)
	}
	now := time.Now()
	ledger.bridge = []tasks.BridgeChannel{
		{Channel: "interview:messages:evaluation_report", Received: 41, Submitted: 31, Quarantined: 5, Gaps: 2, GapMS: 61_000, LastAt: now.Add(-3 * time.Minute), SeenAt: now},
		{Channel: "interview:messages:<b>", Received: 1, LastAt: now.Add(-time.Hour), SeenAt: now.Add(-40 * time.Minute)},
	}
	a := get(h, "/bridge")
	for _, want := range []string{"interview:messages:evaluation_report", "subscribed", "3 min ago", "1m1s", "away", "40 min ago", "interview:messages:&lt;b&gt;"} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if a := get(h, "/"); !strings.Contains(a.body, `class="alarm"><a href="/bridge"><b>42</b> came over the bridge, which is away`) {
		t.Error("the overview does not say that the bridge is away")
	}
	ledger.bridge[1].LastAt = now.Add(-8 * 24 * time.Hour) // nobody publishes there any more
	if a := get(h, "/"); !strings.Contains(a.body, `<li><a href="/bridge"><b>42</b> came over the bridge</a>`) {
		t.Error("the overview misses a bridge that nobody needs")
	}
}
