package dashboard_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"evalq/tasks"
)

func TestDeletionOfAQueueDisposesOfEachOfItsJobs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	pending, retry, dead, done := w.queued(tasks.Queued, "pending"), w.queued(tasks.Retrying, "retry"), w.queued(tasks.Dead, "archived"), w.queued(tasks.Succeeded, "completed")
	waiting, held := w.ledger.add(tasks.Accepted, nil), w.ledger.add(tasks.Held, nil)
	other := w.ledger.add(tasks.Accepted, func(j *tasks.Job) { j.Priority = tasks.Low })
	w.enqueue("default", "foreign", "pending")
	if a := w.api(http.MethodDelete, "/queues/default", ""); a.status != http.StatusNoContent {
		t.Fatalf("answer %d %s", a.status, a.body)
	}
	for name, want := range map[*tasks.Job]tasks.State{
		&pending: tasks.Cancelled, &retry: tasks.Cancelled, &waiting: tasks.Cancelled, &held: tasks.Cancelled,
		&dead: tasks.Dead, &done: tasks.Succeeded, &other: tasks.Accepted,
	} {
		if got := w.ledger.job(name.ID).State; got != want {
			t.Errorf("a job that was %s is %s, want %s", name.State, got, want)
		}
	}
	// Whoever filled the queue before does not register it again: it has to
	// stay registered, or what enters later would not be seen.
	info, err := w.inspector.GetQueueInfo("default")
	if err != nil || info.Size != 0 || info.Completed != 0 || info.Archived != 0 {
		t.Errorf("the deleted queue: %+v, %v; want it shown empty", info, err)
	}
	w.audited("queue.delete", "default")
	w.enqueue("theirs", "foreign", "pending")
	if a := w.api(http.MethodDelete, "/queues/theirs", ""); a.status != http.StatusNoContent {
		t.Errorf("somebody else's queue: answer %d %s", a.status, a.body)
	}
	if queues, err := w.inspector.Queues(); err != nil || slices.Contains(queues, "theirs") {
		t.Errorf("queues: %v, %v; want none named theirs", queues, err)
	}
}

func TestJobsThatEnterADeletedQueueAreSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.queued(tasks.Dead, "archived")
	if a := w.api(http.MethodDelete, "/queues/default", ""); a.status != http.StatusNoContent {
		t.Fatalf("answer %d %s", a.status, a.body)
	}
	job := w.queued(tasks.Queued, "pending") // by the client that filled it before
	if a := w.api(http.MethodGet, "/queues", ""); !strings.Contains(a.body, `"queue":"default"`) {
		t.Errorf("Asynqmon lists %s, want default among it", a.body)
	}
	if a := w.api(http.MethodGet, "/queues/default/pending_tasks", ""); !strings.Contains(a.body, job.TaskID()) {
		t.Errorf("Asynqmon does not list the job that entered: %d %s", a.status, a.body)
	}
}

func TestDeletionOfAQueueWithAnActiveTaskChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	running, pending := w.queued(tasks.Running, "active"), w.queued(tasks.Queued, "pending")
	a := w.api(http.MethodDelete, "/queues/default", "")
	if a.status != http.StatusBadRequest || !strings.Contains(a.body, "active") {
		t.Errorf("answer %d %s, want 400 that names the reason", a.status, a.body)
	}
	if w.ledger.job(running.ID).CancelAsk || w.ledger.job(pending.ID).State != tasks.Queued || w.stateOf("default", pending.TaskID()) != "pending" {
		t.Error("something was changed")
	}
	if a := w.api(http.MethodDelete, "/queues/nobodys", ""); a.status != http.StatusNotFound {
		t.Errorf("an unknown queue: answer %d %s, want 404", a.status, a.body)
	}
}
