package dashboard_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"evalq/dashboard"
	"evalq/tasks"
)

const (
	operatorSecret = "correct horse battery"
	viewerSecret   = "only looking around"
)

func twoUsers() []dashboard.User {
	return []dashboard.User{
		{Name: "ada", Secret: operatorSecret, Role: dashboard.Operator},
		{Name: "vic", Secret: viewerSecret, Role: dashboard.Viewer},
	}
}

func signIn(tb testing.TB, h http.Handler, name, secret string) func(*http.Request) {
	tb.Helper()
	a := post(h, "/sign-in", url.Values{"name": {name}, "secret": {secret}, "next": {"/jobs"}})
	cookie := a.header.Get("Set-Cookie")
	if a.status != http.StatusSeeOther || cookie == "" {
		tb.Fatalf("sign-in: answer %d, cookie %q", a.status, cookie)
	}
	value, _, _ := strings.Cut(cookie, ";")
	return header("Cookie", value)
}

func TestWithUsersNothingIsServedWithoutASignIn(t *testing.T) {
	t.Parallel()
	_, h := offline(t, &dashboard.Config{Users: twoUsers()})
	for _, path := range []string{"/", "/jobs", "/audit", "/live.json", "/asynqmon/", "/asynqmon/api/queues", "/interviews/1", "/nowhere"} {
		if a := call(h, http.MethodGet, path, nil); a.status != http.StatusUnauthorized || a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: a program is answered %d, want 401 with a challenge", path, a.status)
		}
		a := get(h, path)
		if a.status != http.StatusSeeOther || a.header.Get("Location") != "/sign-in?next="+url.QueryEscape(path) {
			t.Errorf("%s: a person is answered %d %s, want the sign-in page", path, a.status, a.header.Get("Location"))
		}
	}
	if a := call(h, http.MethodGet, "/", nil, header("HX-Request", "true")); a.status != http.StatusUnauthorized || a.header.Get("HX-Redirect") != "/sign-in" {
		t.Errorf("a live part of a page is answered %d, HX-Redirect %q", a.status, a.header.Get("HX-Redirect"))
	}
	if a := call(h, http.MethodPost, "/asynqmon/api/queues/default:pause", nil); a.status != http.StatusUnauthorized {
		t.Errorf("an action is answered %d, want 401", a.status)
	}
	if a := get(h, "/sign-in"); a.status != http.StatusOK || !strings.Contains(a.body, "Password or token") {
		t.Errorf("the sign-in page is answered %d", a.status)
	}
}

func TestScriptsSignInWithATokenOrBasic(t *testing.T) {
	t.Parallel()
	_, h := offline(t, &dashboard.Config{Users: twoUsers()})
	basic := func(name, secret string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(name, secret) }
	}
	for name, c := range map[string]struct {
		change func(*http.Request)
		want   int
	}{
		"token":             {bearer(operatorSecret), 200},
		"lower-case scheme": {header("Authorization", "bearer "+viewerSecret), 200},
		"name and password": {basic("vic", viewerSecret), 200},
		"other's password":  {basic("ada", viewerSecret), 401},
		"wrong token":       {bearer("nope nope nope"), 401},
		"empty token":       {bearer(""), 401},
		"unknown scheme":    {header("Authorization", "Negotiate abc"), 401},
	} {
		if a := call(h, http.MethodGet, "/jobs", nil, c.change, func(r *http.Request) { r.RemoteAddr = name + ":1" }); a.status != c.want {
			t.Errorf("%s: answer %d, want %d", name, a.status, c.want)
		}
	}
}

func TestAViewerChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, &dashboard.Config{Users: twoUsers()})
	job := w.queued(tasks.Dead, "archived")
	w.ledger.interviews[5] = []byte(`{"user_id":1,"report_id":5,"answers":[{"dialog_id":"d","question":"q","answer":"a"}]}`)
	for _, change := range []func(*http.Request){bearer(viewerSecret), signIn(t, w.handler, "vic", viewerSecret)} {
		for _, path := range []string{
			"/jobs/" + job.ID + "/retry", "/jobs/" + job.ID + "/cancel", "/jobs/retry", "/interviews/5", "/interviews/5/suggested", "/queues/default/pause",
			"/asynqmon/api/queues/default/archived_tasks/" + job.TaskID() + ":run", "/asynqmon/api/queues/default:pause", "/asynqmon/api/anything",
		} {
			if a := post(w.handler, path, url.Values{"id": {job.ID}}, change); a.status != http.StatusForbidden {
				t.Errorf("%s: answer %d, want 403", path, a.status)
			}
		}
		for _, path := range []string{"/", "/jobs", "/jobs/" + job.ID, "/interviews/5", "/audit", "/asynqmon/", "/asynqmon/api/queues"} {
			a := get(w.handler, path, change)
			if a.status != http.StatusOK {
				t.Errorf("%s: answer %d, want 200", path, a.status)
			}
			for _, button := range []string{"<button>Run<", ">Cancel<", ">Pause<", ">Save<"} {
				if strings.Contains(a.body, button) {
					t.Errorf("%s: a viewer is shown the button %s", path, button)
				}
			}
		}
		if a := get(w.handler, "/asynqmon/", change); !strings.Contains(a.body, `FLAG_READ_ONLY="true"`) {
			t.Error("Asynqmon is not told that it is read-only")
		}
	}
	if a := get(w.handler, "/asynqmon/", bearer(operatorSecret)); !strings.Contains(a.body, `FLAG_READ_ONLY="false"`) {
		t.Error("an operator's Asynqmon is read-only")
	}
	if w.ledger.job(job.ID).State != tasks.Dead {
		t.Error("a viewer revived a job")
	}
}

func TestPagesOfOtherSitesChangeNothing(t *testing.T) {
	t.Parallel()
	for _, users := range [][]dashboard.User{nil, twoUsers()} {
		w := newWorld(t, &dashboard.Config{Users: users})
		job := w.queued(tasks.Dead, "archived")
		for name, from := range map[string][]func(*http.Request){
			"Sec-Fetch-Site": {header("Sec-Fetch-Site", "cross-site")},
			"same-site":      {header("Sec-Fetch-Site", "same-site")},
			"Origin":         {header("Origin", "https://evil.example")},
		} {
			from = append(from, bearer(operatorSecret), header("Content-Type", "text/plain"))
			for _, path := range []string{
				"/asynqmon/api/queues/default/archived_tasks/" + job.TaskID() + ":run", "/asynqmon/api/queues/default:pause",
				"/jobs/" + job.ID + "/retry", "/sign-in", "/sign-out",
			} {
				if a := call(w.handler, http.MethodPost, path, nil, from...); a.status != http.StatusForbidden {
					t.Errorf("%s, %s: answer %d, want 403", name, path, a.status)
				}
			}
		}
		if w.ledger.job(job.ID).State != tasks.Dead {
			t.Error("the job was revived")
		}
		a := w.api(http.MethodPost, "/queues/default/archived_tasks/"+job.TaskID()+":run", "", bearer(operatorSecret),
			header("Sec-Fetch-Site", "same-origin"), header("Origin", "http://localhost:8080"))
		if a.status != http.StatusNoContent {
			t.Errorf("our own page: answer %d %s", a.status, a.body)
		}
	}
}

func TestWithoutUsersOnlyLoopbackNamesAreServed(t *testing.T) {
	t.Parallel()
	_, h := offline(t, nil)
	for host, want := range map[string]int{
		"localhost": 200, "localhost:8080": 200, "LOCALHOST.": 200, "127.0.0.1:80": 200, "127.8.9.1": 200, "[::1]:9000": 200, "evalq.localhost:1": 200,
		"evil.example": 403, "evil.example:8080": 403, "192.168.1.7": 403, "localhost.evil.example": 403, "": 403, "127.0.0.1.nip.io": 403, "[2001:db8::1]:80": 403,
	} {
		a := get(h, "/jobs", func(r *http.Request) { r.Host = host })
		if a.status != want {
			t.Errorf("Host %q: answer %d, want %d", host, a.status, want)
		}
	}
	_, h = offline(t, &dashboard.Config{Users: twoUsers()})
	if a := get(h, "/jobs", bearer(operatorSecret), func(r *http.Request) { r.Host = "evalq.example" }); a.status != http.StatusOK {
		t.Errorf("with users any name is served: answer %d", a.status)
	}
}

func TestProtectGuardsOtherHandlersWithTheSameUsers(t *testing.T) {
	t.Parallel()
	_, h := offline(t, &dashboard.Config{Users: twoUsers()})
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, operator := dashboard.IdentityOf(r.Context())
		_, _ = fmt.Fprintf(w, "%s %t", name, operator)
	})
	problem := func(w http.ResponseWriter, _ *http.Request, status int, detail string) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "problem: "+detail)
	}
	protected := h.Auth().Protect(next, problem)
	for name, c := range map[string]struct {
		method string
		change func(*http.Request)
		status int
		body   string
	}{
		"operator writes": {http.MethodPost, bearer(operatorSecret), 200, "ada true"},
		"viewer reads":    {http.MethodGet, bearer(viewerSecret), 200, "vic false"},
		"session":         {http.MethodGet, signIn(t, h, "vic", viewerSecret), 200, "vic false"},
		"viewer writes":   {http.MethodPost, bearer(viewerSecret), 403, "problem: a viewer"},
		"nobody":          {http.MethodGet, header("X-Nothing", "1"), 401, "problem: sign in"},
		"another site":    {http.MethodPost, func(r *http.Request) { bearer(operatorSecret)(r); r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403, "problem: refused"},
	} {
		if a := call(protected, c.method, "/v1/evaluations", nil, c.change); a.status != c.status || !strings.HasPrefix(a.body, c.body) {
			t.Errorf("%s: answer %d %q, want %d %q", name, a.status, a.body, c.status, c.body)
		}
	}
	if name, operator := dashboard.IdentityOf(t.Context()); name != "" || operator {
		t.Errorf("outside of Protect: %q, %t", name, operator)
	}
}

func TestAPlatformsOwnSignInReplacesUsers(t *testing.T) {
	t.Parallel()
	ledger, h := offline(t, &dashboard.Config{
		Identify: func(r *http.Request) (string, bool, bool) {
			who := r.Header.Get("X-Who")
			return who, who == "root", who != ""
		},
		RemoteAddr: func(*http.Request) string { return "203.0.113.9" },
	})
	job := ledger.add(tasks.Dead, nil)
	if a := get(h, "/jobs"); a.status != http.StatusUnauthorized {
		t.Errorf("nobody: %d, want 401", a.status)
	}
	if a := post(h, "/jobs/"+job.ID+"/retry", nil, header("X-Who", "guest")); a.status != http.StatusForbidden {
		t.Errorf("guest: %d, want 403", a.status)
	}
	if a := post(h, "/jobs/"+job.ID+"/retry", nil, header("X-Who", "root")); a.status != http.StatusSeeOther {
		t.Errorf("root: %d, want 303", a.status)
	}
	if entries, _ := ledger.AuditLog(t.Context(), 1); len(entries) != 1 || entries[0].Who != "root" || entries[0].From != "203.0.113.9" {
		t.Errorf("audit log: %v", entries)
	}
}

func TestUsersAreCheckedAndNeverPrinted(t *testing.T) {
	t.Parallel()
	good := twoUsers()
	for want, users := range map[string][]dashboard.User{
		"Users[0].Name":   {{Secret: operatorSecret, Role: dashboard.Viewer}},
		"Users[0].Secret": {{Name: "a", Secret: "short", Role: dashboard.Viewer}},
		"Users[0].Role":   {{Name: "a", Secret: operatorSecret, Role: "admin"}},
		"Users[1].Name":   {good[0], {Name: "ada", Secret: "another secret", Role: dashboard.Viewer}},
		"Users[1].Secret": {good[0], {Name: "bob", Secret: operatorSecret, Role: dashboard.Viewer}},
	} {
		_, err := dashboard.NewAuth(users)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), operatorSecret) {
			t.Errorf("%v: error %v, want one that names %s", users, err, want)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v %s", good, good, good, good[0]); strings.Contains(text, operatorSecret) {
		t.Errorf("printed: %s", text)
	}
}
