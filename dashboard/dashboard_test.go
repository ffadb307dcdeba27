package dashboard_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"evalq/dashboard"
)

func TestNewNamesTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	t.Cleanup(func() { _ = client.Close() })
	for want, cfg := range map[string]dashboard.Config{
		`Prefix: "ops"`:   {Prefix: "ops"},
		`Prefix: "/a//b"`: {Prefix: "/a//b"},
		`Prefix: "/a/.."`: {Prefix: "/a/.."},
		`Prefix: "/{x}"`:  {Prefix: "/{x}"},
		"Users[0].Role":   {Users: []dashboard.User{{Name: "a", Secret: "long enough"}}},
		"Identify":        {Users: twoUsers(), Identify: func(*http.Request) (string, bool, bool) { return "", false, false }},
	} {
		if _, err := dashboard.New(newMemory(), client, &cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %s", err, want)
		}
	}
	if _, err := dashboard.New(nil, client, nil); err == nil {
		t.Error("no error without a ledger")
	}
	if _, err := dashboard.New(newMemory(), nil, nil); err == nil {
		t.Error("no error without Redis")
	}
	if _, err := dashboard.New(newMemory(), (*redis.Client)(nil), nil); err == nil {
		t.Error("no error with a nil pointer to a client")
	}
	if _, err := dashboard.New((*memory)(nil), client, nil); err == nil {
		t.Error("no error with a nil pointer to a ledger")
	}
}

func TestAHandlerThatNewDidNotMakeAnswersUnavailableAndMayBeClosed(t *testing.T) {
	t.Parallel()
	h := &dashboard.Handler{}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d", w.Code)
	}
	if err := errors.Join(h.Close(), h.Close(), (*dashboard.Handler)(nil).Close()); err != nil {
		t.Error(err)
	}
}

func TestTheHandlerServesAnyPrefixOnAnyMux(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"", "/", "/ops", "/ops/", "/a/b"} {
		_, h := offline(t, &dashboard.Config{Prefix: prefix})
		p := strings.TrimSuffix(prefix, "/")
		mux := http.NewServeMux()
		mux.Handle(p+"/", h)
		for _, path := range []string{"/", "/jobs", "/audit", "/live.json", "/asynqmon/", "/assets/style.css", "/assets/vendor/htmx/htmx.min.js", "/assets/bar.js"} {
			if a := get(mux, p+path); a.status != http.StatusOK {
				t.Errorf("prefix %q: %s is answered %d", prefix, path, a.status)
			}
		}
		a := get(mux, p+"/")
		for _, want := range []string{`href="` + p + `/jobs"`, `src="` + p + `/assets/app.js"`, `href="` + p + `/asynqmon/"`} {
			if !strings.Contains(a.body, want) {
				t.Errorf("prefix %q: the page lacks %s", prefix, want)
			}
		}
		if a := get(mux, p+"/asynqmon/"); !strings.Contains(a.body, `FLAG_ROOT_PATH="\/`) && !strings.Contains(a.body, `FLAG_ROOT_PATH="`+p+`/asynqmon"`) {
			t.Errorf("prefix %q: Asynqmon does not know where it is", prefix)
		}
		if a := get(mux, p+"/nowhere"); a.status != http.StatusNotFound {
			t.Errorf("prefix %q: an unknown page is answered %d", prefix, a.status)
		}
	}
}

func TestEveryAnswerHasTheHeadersThatKeepItSafe(t *testing.T) {
	t.Parallel()
	ledger, h := offline(t, &dashboard.Config{Users: twoUsers()})
	for _, path := range []string{"/", "/jobs", "/live.json", "/sign-in", "/asynqmon/", "/asynqmon/api/queues", "/asynqmon/static/js/main.5adda2da.chunk.js", "/assets/app.js", "/nowhere"} {
		for _, change := range []func(*http.Request){bearer(operatorSecret), asPage} {
			a := get(h, path, change)
			policy := a.header.Get("Content-Security-Policy")
			if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
				t.Errorf("%s: Content-Security-Policy %q", path, policy)
			}
			for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"} {
				if got := a.header.Get(name); got != want {
					t.Errorf("%s: %s is %q", path, name, got)
				}
			}
			if control := a.header.Get("Cache-Control"); control != "no-store" && !strings.Contains(path, "/static/") && !strings.Contains(path, "/assets/") {
				t.Errorf("%s: Cache-Control %q", path, control)
			}
		}
	}
	if a := get(h, "/assets/templates/layout.html", bearer(operatorSecret)); a.status != http.StatusNotFound {
		t.Errorf("a template is served: %d", a.status)
	}
	ledger.readFails = errors.New("dial tcp 10.0.0.7:3306: password of root wrong")
	if a := get(h, "/jobs", bearer(operatorSecret)); a.status != http.StatusInternalServerError || strings.Contains(a.body, "10.0.0.7") {
		t.Errorf("answer %d shows internals: %.200s", a.status, a.body)
	}
}

func TestClosedItRefusesWhatComesLater(t *testing.T) {
	t.Parallel()
	_, h := offline(t, nil)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	if a := get(h, "/jobs"); a.status != http.StatusServiceUnavailable {
		t.Errorf("answer %d, want 503", a.status)
	}
}

func TestFilesAreSentAgainOnlyWhenTheyChanged(t *testing.T) {
	t.Parallel()
	_, h := offline(t, nil)
	first := get(h, "/assets/style.css")
	if first.header.Get("ETag") == "" || !strings.HasPrefix(first.header.Get("Content-Type"), "text/css") {
		t.Fatalf("ETag %q, type %q", first.header.Get("ETag"), first.header.Get("Content-Type"))
	}
	if a := get(h, "/assets/style.css", header("If-None-Match", first.header.Get("ETag"))); a.status != http.StatusNotModified {
		t.Errorf("answer %d, want 304", a.status)
	}
	for _, path := range []string{"/assets/", "/assets/vendor/htmx/LICENSE", "/assets/../go.mod", "/assets/nothing.js"} {
		if a := get(h, path); a.status == http.StatusOK {
			t.Errorf("%s is served", path)
		}
	}
}
