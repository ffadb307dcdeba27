package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"evalq/internal/redistest"
)

// slice is an interview with one answer.
func slice(user int64) map[string]any {
	return map[string]any{"user_id": user, "language": "en", "answers": []map[string]any{{
		"question": "What is a slice?", "answer": fmt.Sprintf("User %d calls it a view of an array with a length and a capacity", user),
		"key_points": []map[string]any{{"text": "view of an array"}},
	}}}
}

func (p *process) submit(user int64) string {
	p.t.Helper()
	body := map[string]any{"kind": "evaluation_report", "user_id": user, "report_id": user}
	return p.call("POST", "/v1/evaluations", body, 202).body["id"].(string)
}

func TestWhatWasSubmittedAfterABackupIsEvaluatedWhenItIsRestored(t *testing.T) {
	t.Parallel()
	const before, all = 10, 60
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "copy.db")
	server := redistest.Start(t, redistest.WithAOF())
	redis := []string{"--redis-url", server.URL}
	p := serve(t, dir, redis)
	for user := int64(1); user <= all; user++ {
		p.call("PUT", fmt.Sprintf("/v1/interviews/%d", user), slice(user), 201)
	}
	known := map[int64]string{}
	for user := int64(1); user <= before; user++ {
		known[user] = p.submit(user)
		p.finished(known[user])
	}
	if out := cmd(t, []string{"EVALQ_URL=" + p.url}, []string{"backup", file}); !strings.Contains(out, "10 jobs") {
		t.Fatalf("backup said %s", out)
	}
	var tasks []string
	for user := int64(before + 1); user <= all; user++ {
		tasks = append(tasks, "asynq:{default}:t:"+p.submit(user)+".1")
	}
	// What Redis was never told of is in the lost ledger alone.
	rdb := server.Client(t)
	p.await("has told Redis of all jobs", func() bool { return rdb.Exists(t.Context(), tasks...).Val() == int64(len(tasks)) })
	p.kill()
	if err := os.Remove(filepath.Join(dir, "evalq.db-wal")); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "evalq.db"), 4096); err != nil {
		t.Fatal(err)
	}
	out, code := run(t, append([]string{"serve", "--listen", "127.0.0.1:0", "--data-dir", dir}, redis...)...)
	if code != 1 || !strings.Contains(out, "damaged") || !strings.Contains(out, "evalq restore FILE --force") {
		t.Fatalf("with a damaged ledger it ended with %d:\n%s", code, out)
	}
	out, code = run(t, "restore", file, "--data-dir", dir, "--force")
	if code != 0 || !strings.Contains(out, "evalq.db.before-") {
		t.Fatalf("restore ended with %d:\n%s", code, out)
	}
	p = serve(t, dir, redis)
	for user := int64(1); user <= all; user++ {
		var job map[string]any
		p.await(fmt.Sprintf("has the evaluation of user %d", user), func() bool {
			r, err := request(t.Context(), "GET", fmt.Sprintf("%s/v1/find?kind=evaluation_report&user_id=%d&report_id=%d", p.url, user, user), nil)
			job = r.body
			return err == nil && r.status == 200 && job["state"] == "succeeded"
		})
		if id := known[user]; id != "" && (job["id"] != id || fmt.Sprint(job["attempt"]) != "1") {
			t.Fatalf("what was in the backup was evaluated again: %v", job)
		}
	}
}
