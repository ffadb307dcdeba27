package dashboard_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"evalq/tasks"
)

func TestAGroupsPathIsNoWayAroundTheLedger(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	job := w.queued(tasks.Dead, "archived")
	a := w.api(http.MethodPost, "/queues/default/groups/g/aggregating_tasks/"+job.TaskID()+":run", "")
	if a.status != http.StatusConflict || w.stateOf("default", job.TaskID()) != "archived" {
		t.Errorf("answer %d %s, the task is %q; want a refusal, as it is in no group", a.status, a.body, w.stateOf("default", job.TaskID()))
	}
	w.untouched(job)
}

func TestWhatIsNotKnownIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	job := w.queued(tasks.Queued, "pending")
	for _, c := range []struct{ method, path string }{
		{http.MethodPost, "/queues/default"}, {http.MethodPut, "/queues/default"}, {http.MethodPatch, "/queues/default:pause"},
		{http.MethodPost, "/queues/default:explode"}, {http.MethodPost, "/queues/default/pending_tasks/" + job.TaskID() + ":run"},
		{http.MethodPost, "/queues/default/pending_tasks/" + job.TaskID() + ":delete"}, {http.MethodDelete, "/queues/default/active_tasks/" + job.TaskID()},
		{http.MethodPost, "/queues/default/pending_tasks:delete_all"}, {http.MethodDelete, "/queues/default/pending_tasks:batch_delete"},
		{http.MethodDelete, "/queues/default/pending_tasks/" + job.TaskID() + "/more"}, {http.MethodDelete, "/queues/default/aggregating_tasks/" + job.TaskID()},
		{http.MethodDelete, "/queues/default/groups/g/pending_tasks/" + job.TaskID()}, {http.MethodDelete, "/queues/default/pending_tasks/a%2Fb"},
		{http.MethodPost, "/scheduler_entries/x/run"}, {http.MethodDelete, "/servers"}, {http.MethodPost, ""}, {http.MethodDelete, "/queues/:pause/x"},
	} {
		if a := w.api(c.method, c.path, ""); a.status != http.StatusMethodNotAllowed {
			t.Errorf("%s %s: answer %d %.80s, want 405", c.method, c.path, a.status, a.body)
		}
	}
	if w.stateOf("default", job.TaskID()) != "pending" || w.ledger.job(job.ID).State != tasks.Queued {
		t.Error("something was changed")
	}
	if entries, _ := w.ledger.AuditLog(t.Context(), 9); len(entries) != 0 {
		t.Errorf("audited: %v", entries)
	}
}

func TestAnActionThatCannotBeAuditedIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	job := w.queued(tasks.Dead, "archived")
	w.ledger.auditFails = errors.New("disk full")
	for _, c := range []struct{ method, path, body string }{
		{http.MethodPost, "/queues/default/archived_tasks/" + job.TaskID() + ":run", ""},
		{http.MethodDelete, "/queues/default/archived_tasks:delete_all", ""},
		{http.MethodPost, "/queues/default/archived_tasks:batch_delete", fmt.Sprintf(`{"task_ids":[%q]}`, job.TaskID())},
		{http.MethodPost, "/queues/default:pause", ""}, {http.MethodDelete, "/queues/default", ""},
	} {
		if a := w.api(c.method, c.path, c.body); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
			t.Errorf("%s: answer %d %s, want 503 with Retry-After", c.path, a.status, a.body)
		}
	}
	if a := post(w.handler, "/jobs/"+job.ID+"/retry", nil); a.status != http.StatusServiceUnavailable {
		t.Errorf("our own button: answer %d, want 503", a.status)
	}
	if w.ledger.job(job.ID).State != tasks.Dead || w.stateOf("default", job.TaskID()) != "archived" {
		t.Error("something was changed")
	}
}

func TestAnActionThatTheLedgerRefusesIsAnsweredAndAuditedAsSuch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	job := w.queued(tasks.Succeeded, "archived")
	a := w.api(http.MethodPost, "/queues/default/archived_tasks/"+job.TaskID()+":run", "")
	if a.status != http.StatusConflict || w.stateOf("default", job.TaskID()) != "archived" {
		t.Errorf("answer %d %s, the task is %q; want 409 and the task untouched", a.status, a.body, w.stateOf("default", job.TaskID()))
	}
	entries, _ := w.ledger.AuditLog(t.Context(), 5)
	if len(entries) != 2 || !strings.Contains(entries[0].Detail, "not done") {
		t.Errorf("audit log: %+v, want the wish and that it was not done", entries)
	}
	w.ledger.readFails = fmt.Errorf("ledger: read job: %w: secret address", tasks.ErrUnavailable)
	a = w.api(http.MethodPost, "/queues/default/archived_tasks/"+job.TaskID()+":run", "")
	if a.status != http.StatusServiceUnavailable || strings.Contains(a.body, "secret") {
		t.Errorf("answer %d %s, want 503 without internals", a.status, a.body)
	}
}

func TestABatchBodyThatCannotBeReadIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for _, body := range []string{``, `[]`, `{"task_ids":"x"}`, `{"ids":["x"]}`, `{"task_ids":[],"task_ids":["x"]}`, `{"task_ids":["x"]} trailing`, `{"task_ids":["` + strings.Repeat("x", 1_000_000) + `"]}`} {
		if a := w.api(http.MethodPost, "/queues/default/archived_tasks:batch_run", body); a.status != http.StatusBadRequest {
			t.Errorf("%.40q: answer %d %s, want 400", body, a.status, a.body)
		}
	}
}

func TestAllMeansThoseThatWereThereAndEndsWhenSomeCannotBeDone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var stuck []tasks.Job
	for range 3 {
		stuck = append(stuck, w.queued(tasks.Succeeded, "archived")) // cannot be run again
	}
	for i := range 1100 { // more than two pages
		w.enqueue("default", fmt.Sprintf("foreign%d", i), "scheduled")
	}
	dead := w.queued(tasks.Dead, "archived")
	if a := w.api(http.MethodPost, "/queues/default/archived_tasks:run_all", ""); decode[map[string]int](t, a)["scheduled"] != 1 {
		t.Errorf("answer %d %s, want 1 scheduled", a.status, a.body)
	}
	if w.ledger.job(dead.ID).State != tasks.Accepted || w.stateOf("default", stuck[0].TaskID()) != "archived" {
		t.Error("the dead one must run, the finished ones must stay")
	}
	if a := w.api(http.MethodPost, "/queues/default/scheduled_tasks:run_all", ""); decode[map[string]int](t, a)["scheduled"] != 1100 {
		t.Errorf("answer %d %s, want 1100 scheduled", a.status, a.body)
	}
}
