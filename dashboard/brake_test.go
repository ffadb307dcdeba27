package dashboard_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"evalq/dashboard"
)

// from makes a request come from an address.
func from(addr string) func(*http.Request) { return func(r *http.Request) { r.RemoteAddr = addr } }

func TestWhoGuessesIsSlowedDown(t *testing.T) {
	t.Parallel()
	ways := map[string]func(h http.Handler, secret, addr string) answer{
		"form": func(h http.Handler, secret, addr string) answer {
			return post(h, "/sign-in", url.Values{"name": {"ada"}, "secret": {secret}}, from(addr))
		},
		"token": func(h http.Handler, secret, addr string) answer {
			return call(h, http.MethodGet, "/jobs", nil, bearer(secret), from(addr))
		},
		"name and password": func(h http.Handler, secret, addr string) answer {
			return call(h, http.MethodGet, "/jobs", nil, from(addr), func(r *http.Request) { r.SetBasicAuth("ada", secret) })
		},
	}
	for name, try := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, h := offline(t, &dashboard.Config{Users: twoUsers()})
			synctest.Test(t, func(t *testing.T) {
				for i := range 5 {
					if a := try(h, fmt.Sprint("guess number ", i), "192.0.2.1:1"); a.status != http.StatusUnauthorized {
						t.Fatalf("guess %d: %d", i, a.status)
					}
				}
				for wait := 1; wait <= 64; wait *= 2 {
					a := try(h, operatorSecret, "192.0.2.1:2")
					if a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") != strconv.Itoa(wait) {
						t.Fatalf("answer %d, Retry-After %q; want 429 and %d, even for the right password", a.status, a.header.Get("Retry-After"), wait)
					}
					time.Sleep(time.Duration(wait) * time.Second)
					try(h, fmt.Sprint("another guess ", wait), "192.0.2.1:3")
				}
				if a := try(h, operatorSecret, "192.0.2.2:1"); a.status >= 400 {
					t.Errorf("another address: %d", a.status)
				}
				time.Sleep(20 * time.Minute)
				if a := try(h, operatorSecret, "192.0.2.1:1"); a.status >= 400 {
					t.Errorf("after a while: %d", a.status)
				}
			})
		})
	}
}

// longToken cannot be guessed over a network.
const longToken = "u7Qk2mZx9LrT4vBn8WcYdE"

func withLongToken() []dashboard.User {
	return append(twoUsers(), dashboard.User{Name: "robot", Secret: longToken, Role: dashboard.Operator})
}

func TestAnOldTokenLocksNobodyOutBehindTheSameAddress(t *testing.T) {
	t.Parallel()
	_, h := offline(t, &dashboard.Config{Users: twoUsers()})
	for i := range 50 {
		if a := call(h, http.MethodGet, "/jobs", nil, bearer("the token of last year")); a.status != http.StatusUnauthorized {
			t.Fatalf("request %d with an old token: %d, want 401", i, a.status)
		}
	}
	if a := call(h, http.MethodGet, "/jobs", nil, bearer(operatorSecret)); a.status != http.StatusOK {
		t.Errorf("the right token: %d, want 200", a.status)
	}
	signIn(t, h, "ada", operatorSecret)
}

func TestALongTokenPassesWhileItsAddressIsSlowedDown(t *testing.T) {
	t.Parallel()
	_, h := offline(t, &dashboard.Config{Users: withLongToken()})
	for i := range 30 {
		call(h, http.MethodGet, "/jobs", nil, bearer(fmt.Sprint("wrong token number ", i)))
	}
	basic := func(name string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(name, longToken) }
	}
	for name, c := range map[string]struct {
		change func(*http.Request)
		want   int
	}{
		"right":                             {bearer(longToken), http.StatusOK},
		"right, with its name":              {basic("robot"), http.StatusOK},
		"right, with another's name":        {basic("ada"), http.StatusTooManyRequests},
		"wrong":                             {bearer(longToken + "x"), http.StatusTooManyRequests},
		"right, but short enough to guess":  {bearer(viewerSecret), http.StatusTooManyRequests},
		"wrong, and counted before already": {bearer("wrong token number 1"), http.StatusTooManyRequests},
	} {
		if a := call(h, http.MethodGet, "/jobs", nil, c.change); a.status != c.want {
			t.Errorf("%s: answer %d, want %d", name, a.status, c.want)
		}
	}
	signIn(t, h, "ada", operatorSecret) // the form has a count of its own
}

func TestTheFormIsSlowedDownForEverySecretAndLeavesTokensAlone(t *testing.T) {
	t.Parallel()
	_, h := offline(t, &dashboard.Config{Users: withLongToken()})
	for range 5 {
		post(h, "/sign-in", url.Values{"name": {"ada"}, "secret": {"the same wrong one"}})
	}
	for _, secret := range []string{longToken, operatorSecret, "the same wrong one"} {
		if a := post(h, "/sign-in", url.Values{"secret": {secret}}); a.status != http.StatusTooManyRequests {
			t.Errorf("%s at the form: answer %d, want 429", secret, a.status)
		}
	}
	if a := call(h, http.MethodGet, "/jobs", nil, bearer(operatorSecret)); a.status != http.StatusOK {
		t.Errorf("a right token: %d, want 200", a.status)
	}
}

func TestFailedSignInsAreAuditedWithoutTheirSecret(t *testing.T) {
	t.Parallel()
	ledger, h := offline(t, &dashboard.Config{Users: twoUsers()})
	for i, name := range []string{"ada", "hunter2 typed into the wrong field", ""} {
		if a := post(h, "/sign-in", url.Values{"name": {name}, "secret": {fmt.Sprint("hunter", i)}}, from("192.0.2.7:1")); a.status != http.StatusUnauthorized {
			t.Fatalf("answer %d, want 401", a.status)
		}
	}
	entries, _ := ledger.AuditLog(t.Context(), 9)
	if len(entries) != 3 {
		t.Fatalf("audit log: %+v, want three entries", entries)
	}
	for i, target := range []string{"unknown", "unknown", "ada"} {
		e := entries[i]
		if e.Action != "sign-in.failed" || e.Target != target || e.From != "192.0.2.7" || e.Who == "ada" {
			t.Errorf("entry %+v, want a failed sign-in of %s", e, target)
		}
		if text := fmt.Sprintf("%+v", e); strings.Contains(text, "hunter") {
			t.Errorf("the entry holds what was typed: %s", text)
		}
	}
}

func TestGuessersDoNotFloodTheAuditLog(t *testing.T) {
	t.Parallel()
	ledger, h := offline(t, &dashboard.Config{Users: twoUsers()})
	guess := func(addr string) {
		post(h, "/sign-in", url.Values{"name": {"ada"}, "secret": {"wrong wrong"}}, from(addr))
	}
	count := func() int {
		entries, _ := ledger.AuditLog(t.Context(), 10_000)
		return len(entries)
	}
	synctest.Test(t, func(t *testing.T) {
		for range 200 {
			guess("192.0.2.1:1")
		}
		if n := count(); n != 5 {
			t.Errorf("200 guesses from one address left %d entries, want the 5 that were looked at", n)
		}
		for i := range 500 {
			guess(fmt.Sprintf("198.51.%d.%d:1", i/250, i%250))
		}
		if n := count(); n != 60 {
			t.Errorf("guesses from 500 addresses in one minute: %d entries, want 60", n)
		}
		time.Sleep(time.Minute)
		guess("203.0.113.1:1")
		if n := count(); n != 61 {
			t.Errorf("a minute later: %d entries, want 61", n)
		}
	})
}

func TestAFailedSignInThatCannotBeAuditedIsStillRefused(t *testing.T) {
	t.Parallel()
	ledger, h := offline(t, &dashboard.Config{Users: twoUsers()})
	ledger.auditFails = errors.New("disk full")
	if a := post(h, "/sign-in", url.Values{"name": {"ada"}, "secret": {"wrong wrong"}}); a.status != http.StatusUnauthorized {
		t.Errorf("answer %d, want 401", a.status)
	}
}

func TestTheBrakeHoldsAgainstParallelGuessesFromOneNetwork(t *testing.T) {
	t.Parallel()
	_, h := offline(t, &dashboard.Config{Users: twoUsers()})
	answers := make(chan int, 200)
	for i := range 200 {
		go func() {
			a := call(h, http.MethodGet, "/jobs", nil, bearer(fmt.Sprint("guess number ", i)),
				func(r *http.Request) { r.RemoteAddr = fmt.Sprintf("[2001:db8:1:2::%x]:99", i+1) })
			answers <- a.status
		}()
	}
	tried := 0
	for range 200 {
		if <-answers == http.StatusUnauthorized {
			tried++
		}
	}
	if tried > 6 { // five, and one more if the burst lasts over a second
		t.Errorf("%d of 200 guesses were looked at, want 5", tried)
	}
}
