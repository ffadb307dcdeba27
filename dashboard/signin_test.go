package dashboard_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"evalq/dashboard"
)

func TestASessionBeginsWithTheFormAndEndsWithSignOut(t *testing.T) {
	t.Parallel()
	ledger, h := offline(t, &dashboard.Config{Users: twoUsers()})
	a := post(h, "/sign-in", url.Values{"name": {"ada"}, "secret": {operatorSecret}, "next": {"/jobs?state=dead"}})
	cookie := a.header.Get("Set-Cookie")
	if a.status != http.StatusSeeOther || a.header.Get("Location") != "/jobs?state=dead" {
		t.Errorf("answer %d to %s", a.status, a.header.Get("Location"))
	}
	for _, want := range []string{"HttpOnly", "SameSite=Strict", "Path=/"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("cookie %q lacks %s", cookie, want)
		}
	}
	if strings.Contains(cookie, "Secure") {
		t.Errorf("cookie %q would be lost without TLS", cookie)
	}
	if entries, _ := ledger.AuditLog(t.Context(), 1); len(entries) != 1 || entries[0].Action != "sign-in" || entries[0].Who != "ada" {
		t.Errorf("audit log: %v", entries)
	}
	session := signIn(t, h, "", operatorSecret) // a token needs no name
	if a := get(h, "/jobs", session); a.status != http.StatusOK || !strings.Contains(a.body, "ada") {
		t.Errorf("with a session: answer %d", a.status)
	}
	if a := post(h, "/sign-out", nil, session); a.status != http.StatusSeeOther {
		t.Errorf("sign-out: answer %d", a.status)
	}
	if a := get(h, "/jobs", session); a.status != http.StatusSeeOther {
		t.Errorf("the session's cookie still works after signing out: %d", a.status)
	}
}

func TestTheSessionCookieIsSecureBehindTLS(t *testing.T) {
	t.Parallel()
	_, h := offline(t, &dashboard.Config{Users: twoUsers(), Prefix: "/ops"})
	a := post(h, "/ops/sign-in", url.Values{"secret": {operatorSecret}}, header("X-Forwarded-Proto", "https"))
	if cookie := a.header.Get("Set-Cookie"); !strings.Contains(cookie, "; Secure") || !strings.Contains(cookie, "Path=/ops/") {
		t.Errorf("cookie %q", cookie)
	}
}

func TestASessionEndsAfterTwelveHours(t *testing.T) {
	t.Parallel()
	_, h := offline(t, &dashboard.Config{Users: twoUsers()})
	synctest.Test(t, func(t *testing.T) {
		session := signIn(t, h, "ada", operatorSecret)
		time.Sleep(12*time.Hour - time.Second) // the bubble's clock, not the wall's
		if a := get(h, "/jobs", session); a.status != http.StatusOK {
			t.Errorf("just before its end: %d", a.status)
		}
		time.Sleep(2 * time.Second)
		if a := get(h, "/jobs", session); a.status != http.StatusSeeOther {
			t.Errorf("after its end: %d", a.status)
		}
	})
}

func TestSignInLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	_, h := offline(t, &dashboard.Config{Users: twoUsers(), Prefix: "/ops"})
	for _, next := range []string{"https://evil.example/", "//evil.example/ops/", "/other", "/ops/\r\nX: y", `/ops/\evil`, "javascript:alert(1)", ""} {
		a := post(h, "/ops/sign-in", url.Values{"secret": {operatorSecret}, "next": {next}})
		if got := a.header.Get("Location"); got != "/ops/" {
			t.Errorf("next %q leads to %q", next, got)
		}
	}
}
