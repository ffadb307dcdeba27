package dashboard_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"evalq/dashboard"
	"evalq/tasks"
)

func TestAViewerWhoSignsInAgainAndAgainEndsNoSessionOfAnOperatorAndHidesNoAction(t *testing.T) {
	t.Parallel()
	ledger, h := offline(t, &dashboard.Config{Users: twoUsers()})
	operator := signIn(t, h, "ada", operatorSecret)
	if err := ledger.Audit(t.Context(), tasks.AuditEntry{Who: "ada", Action: "queue.pause", Target: "low"}); err != nil {
		t.Fatal(err)
	}
	first := signIn(t, h, "", viewerSecret)
	for range 5000 {
		signIn(t, h, "", viewerSecret)
	}
	if a := get(h, "/jobs", operator); a.status != http.StatusOK {
		t.Errorf("the operator's session: answer %d", a.status)
	}
	if a := get(h, "/jobs", first); a.status != http.StatusSeeOther {
		t.Errorf("the viewer's first session: answer %d, want that it has made room", a.status)
	}
	if page := get(h, "/audit", operator).body; !strings.Contains(page, "queue.pause") {
		t.Errorf("the action is not on the page: %s", page)
	}
	for _, path := range []string{"/audit", "/audit?of=sign-ins"} {
		if page := get(h, path, operator).body; strings.Contains(page, "<td>vic</td>") {
			t.Errorf("%s shows a viewer's sign-ins", path)
		}
	}
}

func TestTheAuditPageGoesOnToOlderEntries(t *testing.T) {
	t.Parallel()
	ledger, h := offline(t, nil)
	for i := range 250 {
		if err := ledger.Audit(t.Context(), tasks.AuditEntry{Who: "op", Action: "queue.pause", Target: fmt.Sprintf("target-%d-", i)}); err != nil {
			t.Fatal(err)
		}
		if err := ledger.Audit(t.Context(), tasks.AuditEntry{Who: "unknown", Action: tasks.AuditSignInFailed, Target: "unknown"}); err != nil {
			t.Fatal(err)
		}
	}
	older := regexp.MustCompile(`<a href="([^"]+)" rel="next">`)
	seen, path := 0, "/audit"
	for path != "" && seen < 250 {
		page := get(h, path).body
		for strings.Contains(page, fmt.Sprintf("target-%d-", 249-seen)) {
			seen++
		}
		next := older.FindStringSubmatch(page)
		if path = ""; next != nil {
			path = next[1]
		}
	}
	if seen != 250 {
		t.Errorf("%d of 250 entries are shown in order", seen)
	}
	if page := get(h, "/audit?of=sign-ins").body; strings.Contains(page, "target-") || !strings.Contains(page, "sign-in.failed") {
		t.Error("the page of sign-ins shows something else")
	}
	if a := get(h, "/audit?before=x"); a.status != http.StatusUnprocessableEntity {
		t.Errorf("a cursor that is no number: answer %d", a.status)
	}
}
