package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/hibiken/asynq"

	"evalq/internal/redistest"
)

func TestWhatNoVersionCanReadIsInQuarantineAndOthersGoOn(t *testing.T) {
	t.Parallel()
	r := redistest.Start(t, redistest.WithAOF())
	dir := t.TempDir()
	p := serve(t, dir, []string{"--redis-url", r.URL})
	producer := asynq.NewClientFromRedisClient(r.Client(t))
	for _, c := range []struct{ kind, id, payload string }{
		{"evaluation_report", "nojson", "\xff\x00 s3cret answer"},
		{"evaluation_report", "nouser", `{"report_id": 1, "note": "s3cret answer"}`},
		{"no such kind", "nokind", `{"user_id": 1, "report_id": 1}`},
		{"a_later_kind", "later", `{"user_id": 1, "report_id": 1}`},
	} {
		if _, err := producer.Enqueue(asynq.NewTask(c.kind, []byte(c.payload)), asynq.TaskID(c.id), asynq.Queue("default")); err != nil {
			t.Fatal(err)
		}
	}
	l := &load{acked: map[string]bool{}}
	l.submit(p, 1, 10, 0)
	for id := range l.acked {
		if job := p.finished(id); job["state"] != "succeeded" {
			t.Fatalf("job %s ended as %v", id, job["state"])
		}
	}
	shown := func(p *process) string { return string(p.call("GET", "/quarantine", nil, http.StatusOK).raw) }
	p.await("shows all three", func() bool {
		page := shown(p)
		return strings.Contains(page, "nojson") && strings.Contains(page, "nouser") && strings.Contains(page, "nokind")
	})
	p.await("holds the job of a kind that a later version may handle", func() bool {
		return strings.Contains(string(p.call("GET", "/v1/evaluations?kind=a_later_kind", nil, http.StatusOK).raw), `"held"`)
	})
	if err := r.Client(t).FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	p.kill()
	p = serve(t, dir, []string{"--redis-url", r.URL})
	page := shown(p)
	if !strings.Contains(page, "nojson") || !strings.Contains(page, "invalid_payload") || strings.Contains(page, "s3cret") || strings.Contains(p.out.String(), "s3cret") {
		t.Fatalf("after a wipe and a kill the page is:\n%s", page)
	}
}
