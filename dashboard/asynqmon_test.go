package dashboard_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"evalq/dashboard"
	"evalq/tasks"
)

func TestAsynqmonsPageLoadsNothingFromElsewhereAndCarriesOurBar(t *testing.T) {
	t.Parallel()
	_, h := offline(t, &dashboard.Config{Prefix: "/ops"})
	for _, path := range []string{"/ops/asynqmon/", "/ops/asynqmon/queues/default", "/ops/asynqmon/queues/a.b/tasks/x.1"} {
		a := get(h, path)
		if a.status != http.StatusOK || strings.Contains(a.body, "googleapis") || strings.Contains(a.body, "https://") {
			t.Errorf("%s: answer %d, or something from elsewhere is in it: %.600s", path, a.status, a.body)
		}
		for _, want := range []string{`id="evalq-bar"`, `href="/ops/assets/bar.css"`, `src="/ops/assets/bar.js"`, `<div id="root">`, `href="/ops/jobs"`} {
			if !strings.Contains(a.body, want) {
				t.Errorf("%s lacks %s", path, want)
			}
		}
	}
	if a := get(h, "/ops/asynqmon"); a.status != http.StatusSeeOther || a.header.Get("Location") != "/ops/asynqmon/" {
		t.Errorf("without the slash: %d %s", a.status, a.header.Get("Location"))
	}
}

func TestAsynqmonsPolicyAllowsItsOwnScriptsByHashAndItsStylesByAFreshNonce(t *testing.T) {
	t.Parallel()
	_, h := offline(t, nil)
	nonce := regexp.MustCompile(`<meta property="csp-nonce" content="([^"]+)"`)
	seen := map[string]bool{}
	for range 2 {
		a := get(h, "/asynqmon/")
		policy := a.header.Get("Content-Security-Policy")
		scripts := regexp.MustCompile(`(?s)<script>(.*?)</script>`).FindAllStringSubmatch(a.body, -1)
		if len(scripts) != 2 {
			t.Fatalf("%d inline scripts, want 2", len(scripts))
		}
		for _, script := range scripts {
			sum := sha256.Sum256([]byte(script[1]))
			if !strings.Contains(policy, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
				t.Errorf("the policy %q does not allow the script %.60s", policy, script[1])
			}
		}
		found := nonce.FindStringSubmatch(a.body)
		if found == nil || !strings.Contains(policy, "'nonce-"+found[1]+"'") || seen[found[1]] {
			t.Errorf("nonce %v, policy %q, seen before: %v", found, policy, seen)
		}
		seen[found[1]] = true
	}
}

func TestAsynqmonShowsIDsWithAllTheirDigitsAndNoOtherPayload(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	job := w.queued(tasks.Queued, "pending")
	for _, path := range []string{"/queues/default/pending_tasks", "/queues/default/tasks/" + job.TaskID()} {
		a := w.api(http.MethodGet, path, "")
		if a.status != http.StatusOK || !strings.Contains(a.body, `"payload":"user 9007199254740993, report 9223372036854775807"`) {
			t.Errorf("%s: answer %d %s", path, a.status, a.body)
		}
		if strings.Contains(a.body, "user_id") {
			t.Errorf("%s shows the payload as it is: %s", path, a.body)
		}
	}
	if a := w.api(http.MethodGet, "/redis_info", ""); a.status != http.StatusOK || !strings.Contains(a.body, "redis_version") {
		t.Errorf("redis_info: answer %d %.100s", a.status, a.body)
	}
}

func TestAsynqmonsFilesAreServedWithTheirTypes(t *testing.T) {
	t.Parallel()
	_, h := offline(t, nil)
	page := get(h, "/asynqmon/").body
	for _, src := range regexp.MustCompile(`<script src="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		a := get(h, src[1])
		if a.status != http.StatusOK || !strings.Contains(a.header.Get("Content-Type"), "javascript") || len(a.body) == 0 {
			t.Errorf("%s: answer %d %s", src[1], a.status, a.header.Get("Content-Type"))
		}
	}
	if a := get(h, "/asynqmon/favicon.ico"); a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), "image/") {
		t.Errorf("favicon: answer %d %s", a.status, a.header.Get("Content-Type"))
	}
}

func TestWithoutRedisAsynqmonAnswersThatItCannotBeReached(t *testing.T) {
	t.Parallel()
	_, h := offline(t, nil)
	for _, c := range []struct{ method, path string }{
		{http.MethodGet, "/asynqmon/api/queues"}, {http.MethodGet, "/asynqmon/api/queues/default"}, {http.MethodGet, "/asynqmon/api/servers"},
		{http.MethodGet, "/asynqmon/api/redis_info"}, {http.MethodGet, "/asynqmon/api/queues/default/pending_tasks"},
		{http.MethodPost, "/asynqmon/api/queues/default:pause"}, {http.MethodDelete, "/asynqmon/api/queues/default"},
		{http.MethodPost, "/asynqmon/api/queues/default/archived_tasks:run_all"}, {http.MethodPost, "/asynqmon/api/queues/default/archived_tasks/x:run"},
		{http.MethodPost, "/queues/default/pause"},
	} {
		a := call(h, c.method, c.path, nil)
		if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || !strings.Contains(a.body, "Redis cannot be reached") {
			t.Errorf("%s %s: answer %d, want 503 that says so: %.300s", c.method, c.path, a.status, a.body)
		}
		if strings.Contains(a.body, "dial") || strings.Contains(a.body, "127.0.0.1") {
			t.Errorf("%s %s tells an address: %.300s", c.method, c.path, a.body)
		}
	}
}

func TestWhatRedisComplainsOfStaysInTheLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	if err := w.redis.Set(t.Context(), "asynq:queues", "no set", 0).Err(); err != nil {
		t.Fatal(err)
	}
	a := w.api(http.MethodGet, "/queues", "")
	if a.status != http.StatusInternalServerError || strings.Contains(a.body, "WRONGTYPE") || !strings.Contains(a.body, "log says") {
		t.Errorf("answer %d %s, want 500 without what Redis said", a.status, a.body)
	}
	if a := w.api(http.MethodGet, "/queues/none/pending_tasks", ""); a.status == http.StatusServiceUnavailable {
		t.Errorf("an answer that is no failure of Redis: %d %s", a.status, a.body)
	}
}

func TestWhatAsynqDoesNotHaveIsNotFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.enqueue("default", "x", "pending")
	for _, c := range []struct{ method, path string }{
		{http.MethodGet, "/queues/NOPE"}, {http.MethodGet, "/queues/NOPE/tasks/x"}, {http.MethodGet, "/queues/default/tasks/nope"},
		{http.MethodGet, "/queues/NOPE/pending_tasks"}, {http.MethodGet, "/queues/NOPE/active_tasks"}, {http.MethodGet, "/queues/NOPE/scheduled_tasks"},
		{http.MethodGet, "/queues/NOPE/retry_tasks"}, {http.MethodGet, "/queues/NOPE/archived_tasks"}, {http.MethodGet, "/queues/NOPE/completed_tasks"},
		{http.MethodGet, "/queues/NOPE/groups"}, {http.MethodGet, "/queues/NOPE/groups/g/aggregating_tasks"},
		{http.MethodDelete, "/queues/NOPE"}, {http.MethodPost, "/queues/NOPE:pause"}, {http.MethodPost, "/queues/NOPE:resume"},
		{http.MethodDelete, "/queues/default/pending_tasks/nope"}, {http.MethodDelete, "/queues/NOPE/pending_tasks/x"},
		{http.MethodPost, "/queues/default/archived_tasks/nope:run"}, {http.MethodPost, "/queues/NOPE/archived_tasks:run_all"},
		{http.MethodDelete, "/queues/NOPE/archived_tasks:delete_all"}, {http.MethodPost, "/queues/NOPE/pending_tasks:archive_all"},
		{http.MethodPost, "/queues/default/active_tasks/nope:cancel"}, {http.MethodGet, "/metrics"},
		{http.MethodGet, "/scheduler_entries/nope/enqueue_events"}, {http.MethodGet, "/nowhere"},
	} {
		if a := w.api(c.method, c.path, ""); a.status >= 500 {
			t.Errorf("%s %s: answer %d %s", c.method, c.path, a.status, a.body)
		}
	}
	if a := w.api(http.MethodGet, "/queues/NOPE", ""); a.status != http.StatusNotFound {
		t.Errorf("an unknown queue: answer %d %s, want 404", a.status, a.body)
	}
}
