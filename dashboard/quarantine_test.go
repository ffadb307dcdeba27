package dashboard_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

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
