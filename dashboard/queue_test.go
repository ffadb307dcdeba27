package dashboard_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"evalq/tasks"
)

func TestAQueueWithUnfinishedJobsInTheLedgerIsNotDeletedAndNoJobIsTouched(t *testing.T) {
	t.Parallel()
	for _, state := range []tasks.State{tasks.Accepted, tasks.Queued, tasks.Running, tasks.Retrying, tasks.Held} {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.queued(tasks.Succeeded, "completed") // registers the queue in Asynq
			job := w.ledger.add(state, nil)
			a := w.api(http.MethodDelete, "/queues/default", "")
			if a.status != http.StatusBadRequest || a.body != "queue is not empty: queue=\"default\"\n" {
				t.Errorf("answer %d %q, want what Asynqmon says of a queue that is not empty", a.status, a.body)
			}
			if now := w.ledger.job(job.ID); now.State != state || now.CancelAsk {
				t.Errorf("the job that was %s is %s, asked to stop: %t", state, now.State, now.CancelAsk)
			}
			w.audited("queue.delete", "default")
		})
	}
}

func TestAQueueWithTasksIsNotDeletedWhoseverTheyAre(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	dead := w.queued(tasks.Dead, "archived")
	w.enqueue("theirs", "foreign", "pending")
	for _, queue := range []string{"default", "theirs"} {
		if a := w.api(http.MethodDelete, "/queues/"+queue, ""); a.status != http.StatusBadRequest || !strings.Contains(a.body, "not empty") {
			t.Errorf("%s: answer %d %s, want 400", queue, a.status, a.body)
		}
	}
	if w.stateOf("default", dead.TaskID()) != "archived" || w.stateOf("theirs", "foreign") != "pending" {
		t.Error("a task is gone")
	}
	if a := w.api(http.MethodDelete, "/queues/theirs/pending_tasks/foreign", ""); a.status != http.StatusNoContent {
		t.Fatalf("answer %d %s", a.status, a.body)
	}
	if a := w.api(http.MethodDelete, "/queues/theirs", ""); a.status != http.StatusNoContent {
		t.Errorf("an empty queue of another program: answer %d %s", a.status, a.body)
	}
	if queues, err := w.inspector.Queues(); err != nil || slices.Contains(queues, "theirs") {
		t.Errorf("queues: %v, %v; want none named theirs", queues, err)
	}
}

func TestJobsThatEnterADeletedQueueAreSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.queued(tasks.Succeeded, "completed")
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
	if a.status != http.StatusBadRequest || !strings.Contains(a.body, "not empty") {
		t.Errorf("answer %d %s, want 400 as Asynqmon", a.status, a.body)
	}
	if w.ledger.job(running.ID).CancelAsk || w.ledger.job(pending.ID).State != tasks.Queued || w.stateOf("default", pending.TaskID()) != "pending" {
		t.Error("something was changed")
	}
	if a := w.api(http.MethodDelete, "/queues/nobodys", ""); a.status != http.StatusNotFound {
		t.Errorf("an unknown queue: answer %d %s, want 404", a.status, a.body)
	}
}
