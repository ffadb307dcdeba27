package dashboard_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/hibiken/asynq"

	"evalq/tasks"
)

func TestRunGivesTheJobAFreshDeliveryAndTakesTheOldTaskAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for asynqState, state := range map[string]tasks.State{"archived": tasks.Dead, "retry": tasks.Retrying, "scheduled": tasks.Queued} {
		job := w.queued(state, asynqState)
		a := w.api(http.MethodPost, "/queues/default/"+asynqState+"_tasks/"+job.TaskID()+":run", "")
		if a.status != http.StatusNoContent || a.body != "" {
			t.Errorf("%s: answer %d %q, want 204", asynqState, a.status, a.body)
		}
		now := w.ledger.job(job.ID)
		if now.State != tasks.Accepted || now.Delivery != 2 || now.Run != 2 {
			t.Errorf("%s: the job is %s, delivery %d, run %d; want accepted, 2, 2", asynqState, now.State, now.Delivery, now.Run)
		}
		if got := w.stateOf("default", job.TaskID()); got != "" {
			t.Errorf("%s: the old task is still there: %s", asynqState, got)
		}
		w.audited("task.run", job.TaskID())
	}
}

func TestBatchRunAnswersWhichTasksRunInAsynqmonsShape(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	dead, done := w.queued(tasks.Dead, "archived"), w.queued(tasks.Succeeded, "archived")
	a := w.api(http.MethodPost, "/queues/default/archived_tasks:batch_run",
		fmt.Sprintf(`{"task_ids":[%q,%q,"nobody.1"]}`, dead.TaskID(), done.TaskID()))
	got := decode[struct {
		Pending []string `json:"pending_ids"`
		Errors  []string `json:"error_ids"`
	}](t, a)
	if !slices.Equal(got.Pending, []string{dead.TaskID()}) || !slices.Equal(got.Errors, []string{done.TaskID(), "nobody.1"}) {
		t.Errorf("answer %s", a.body)
	}
	if w.ledger.job(dead.ID).State != tasks.Accepted || w.ledger.job(done.ID).State != tasks.Succeeded {
		t.Error("the dead job must run again, the finished one must stay")
	}
	w.audited("task.run", "queue default")
}

func TestRunAllRunsEveryTaskOfTheState(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var jobs []tasks.Job
	for range 7 {
		jobs = append(jobs, w.queued(tasks.Dead, "archived"))
	}
	retrying, foreign := w.queued(tasks.Retrying, "retry"), "somebody_elses_task"
	w.enqueue("default", foreign, "archived")
	a := w.api(http.MethodPost, "/queues/default/archived_tasks:run_all", "")
	if got := decode[map[string]int](t, a); len(got) != 1 || got["scheduled"] != 8 {
		t.Errorf("answer %s, want 8 scheduled", a.body)
	}
	for _, job := range jobs {
		if now := w.ledger.job(job.ID); now.State != tasks.Accepted || now.Delivery != 2 {
			t.Errorf("a job is %s, delivery %d", now.State, now.Delivery)
		}
	}
	if w.ledger.job(retrying.ID).State != tasks.Retrying {
		t.Error("a retrying job was touched by run_all of the archived ones")
	}
	if got := w.stateOf("default", foreign); got != "pending" {
		t.Errorf("somebody else's task is %q, want pending as Asynqmon would make it", got)
	}
	w.audited("task.run_all", "queue default")
}

func TestArchiveGivesTheJobUpAndShowsItAmongTheArchived(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for asynqState, state := range map[string]tasks.State{"pending": tasks.Queued, "scheduled": tasks.Queued, "retry": tasks.Retrying} {
		one, two, three := w.queued(state, asynqState), w.queued(state, asynqState), w.queued(state, asynqState)
		base := "/queues/default/" + asynqState + "_tasks"
		if a := w.api(http.MethodPost, base+"/"+one.TaskID()+":archive", ""); a.status != http.StatusNoContent {
			t.Errorf("%s: answer %d %s", asynqState, a.status, a.body)
		}
		a := w.api(http.MethodPost, base+":batch_archive", fmt.Sprintf(`{"task_ids":[%q]}`, two.TaskID()))
		if a.body != fmt.Sprintf(`{"archived_ids":[%q],"error_ids":[]}`, two.TaskID())+"\n" {
			t.Errorf("%s: answer %s", asynqState, a.body)
		}
		if a := w.api(http.MethodPost, base+":archive_all", ""); decode[map[string]int](t, a)["archived"] != 1 {
			t.Errorf("%s: answer %s, want 1 archived", asynqState, a.body)
		}
		for i, job := range []tasks.Job{one, two, three} {
			now := w.ledger.job(job.ID)
			if now.State != tasks.Dead || now.Error == nil || now.Error.Class != tasks.ClassOperator {
				t.Errorf("%s, job %d: %s, %v; want dead, stopped by an operator", asynqState, i, now.State, now.Error)
			}
			if got := w.stateOf("default", job.TaskID()); got != "archived" {
				t.Errorf("%s, job %d: its task is %q", asynqState, i, got)
			}
		}
	}
}

func TestCancelOfActiveTasksAsksTheLedger(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	one, two, three := w.queued(tasks.Running, "active"), w.queued(tasks.Running, "active"), w.queued(tasks.Running, "active")
	base := "/queues/default/active_tasks"
	if a := w.api(http.MethodPost, base+"/"+one.TaskID()+":cancel", ""); a.status != http.StatusNoContent {
		t.Errorf("answer %d %s", a.status, a.body)
	}
	if got := w.ledger.job(two.ID); got.CancelAsk {
		t.Error("a neighbour was asked to stop")
	}
	a := w.api(http.MethodPost, base+":batch_cancel", fmt.Sprintf(`{"task_ids":[%q]}`, two.TaskID()))
	if a.body != fmt.Sprintf(`{"canceled_ids":[%q],"error_ids":[]}`, two.TaskID())+"\n" {
		t.Errorf("answer %s", a.body)
	}
	if a := w.api(http.MethodPost, base+":cancel_all", ""); a.status != http.StatusNoContent {
		t.Errorf("answer %d %s", a.status, a.body)
	}
	for i, job := range []tasks.Job{one, two, three} {
		if !w.ledger.job(job.ID).CancelAsk {
			t.Errorf("job %d was not asked to stop", i)
		}
		if got := w.stateOf("default", job.TaskID()); got != "active" {
			t.Errorf("job %d: its task is %q, must stay until its handler ends", i, got)
		}
	}
}

func TestDeleteCancelsUnfinishedJobsAndLeavesFinishedOnes(t *testing.T) {
	t.Parallel()
	for asynqState, states := range map[string][2]tasks.State{
		"pending": {tasks.Queued, tasks.Cancelled}, "scheduled": {tasks.Queued, tasks.Cancelled}, "retry": {tasks.Retrying, tasks.Cancelled},
		"archived": {tasks.Dead, tasks.Dead}, "completed": {tasks.Succeeded, tasks.Succeeded},
	} {
		t.Run(asynqState, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			before, after := states[0], states[1]
			one, two, three := w.queued(before, asynqState), w.queued(before, asynqState), w.queued(before, asynqState)
			base := "/queues/default/" + asynqState + "_tasks"
			if a := w.api(http.MethodDelete, base+"/"+one.TaskID(), ""); a.status != http.StatusNoContent {
				t.Errorf("answer %d %s", a.status, a.body)
			}
			w.audited("task.delete", one.TaskID())
			a := w.api(http.MethodPost, base+":batch_delete", fmt.Sprintf(`{"task_ids":[%q]}`, two.TaskID()))
			if a.body != fmt.Sprintf(`{"deleted_ids":[%q],"failed_ids":[]}`, two.TaskID())+"\n" {
				t.Errorf("answer %s", a.body)
			}
			if a := w.api(http.MethodDelete, base+":delete_all", ""); decode[map[string]int](t, a)["deleted"] != 1 {
				t.Errorf("answer %s, want 1 deleted", a.body)
			}
			for i, job := range []tasks.Job{one, two, three} {
				if now := w.ledger.job(job.ID); now.State != after || now.Delivery != 1 {
					t.Errorf("job %d is %s, delivery %d; want %s, 1", i, now.State, now.Delivery, after)
				}
				if got := w.stateOf("default", job.TaskID()); got != "" {
					t.Errorf("job %d: its task is still %s", i, got)
				}
			}
		})
	}
}

func TestDeleteOfAnOldDeliverysTaskLeavesTheJobAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	job := w.ledger.add(tasks.Queued, func(j *tasks.Job) { j.Delivery = 3 })
	w.enqueue("default", tasks.TaskID(job.ID, 1), "archived")
	a := w.api(http.MethodDelete, "/queues/default/archived_tasks/"+tasks.TaskID(job.ID, 1), "")
	if a.status != http.StatusNoContent || w.ledger.job(job.ID).State != tasks.Queued {
		t.Errorf("answer %d %s; the job is %s, want queued as before", a.status, a.body, w.ledger.job(job.ID).State)
	}
}

func TestPauseIsRecordedInTheLedgerAndToldToAsynq(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.enqueue("default", "foreign", "pending")
	w.enqueue("theirs", "foreign", "pending")
	for _, paused := range []bool{true, true, false, false} { // twice is no error: it is so
		action := map[bool]string{true: "pause", false: "resume"}[paused]
		for _, queue := range []string{"default", "theirs"} {
			if a := w.api(http.MethodPost, "/queues/"+queue+":"+action, ""); a.status != http.StatusNoContent {
				t.Errorf("%s %s: answer %d %s", action, queue, a.status, a.body)
			}
			if info, err := w.inspector.GetQueueInfo(queue); err != nil || info.Paused != paused {
				t.Errorf("%s %s: Asynq says paused = %t, %v", action, queue, info.Paused, err)
			}
			w.audited("queue."+action, queue)
		}
		recorded, err := w.ledger.Paused(t.Context())
		if err != nil || recorded[tasks.Default] != paused {
			t.Errorf("%s: the ledger says %v, %v", action, recorded, err)
		}
		if _, known := recorded["theirs"]; known {
			t.Error("the ledger was told about somebody else's queue")
		}
	}
}

func TestOtherPeoplesTasksAreTreatedAsAsynqmonTreatsThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	unknown := tasks.TaskID(tasks.NewID(w.ledger.add(tasks.Accepted, nil).AcceptedAt), 1) // our form, but not in this ledger
	for _, id := range []string{"plain", "with-dash-and:colon", unknown} {
		w.enqueue("theirs", id, "archived")
		for _, step := range []struct{ method, path, state string }{
			{http.MethodPost, "/queues/theirs/archived_tasks/" + id + ":run", "pending"},
			{http.MethodPost, "/queues/theirs/pending_tasks/" + id + ":archive", "archived"},
			{http.MethodDelete, "/queues/theirs/archived_tasks/" + id, ""},
		} {
			if a := w.api(step.method, step.path, ""); a.status != http.StatusNoContent {
				t.Errorf("%s %s: answer %d %s", step.method, step.path, a.status, a.body)
			}
			if got := w.stateOf("theirs", id); got != step.state {
				t.Errorf("after %s %s the task is %q, want %q", step.method, step.path, got, step.state)
			}
		}
		if a := w.api(http.MethodDelete, "/queues/theirs/archived_tasks/"+id, ""); a.status != http.StatusNotFound {
			t.Errorf("a task that is gone: answer %d %s, want 404", a.status, a.body)
		}
		if a := w.api(http.MethodPost, "/queues/theirs/active_tasks/"+id+":cancel", ""); a.status != http.StatusNoContent {
			t.Errorf("cancel: answer %d %s", a.status, a.body)
		}
	}
}

func TestGroupedTasksAreHandledAndAudited(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for _, id := range []string{"g1", "g2", "g3", "g4"} {
		if _, err := w.client.Enqueue(asynq.NewTask("theirs", nil), asynq.TaskID(id), asynq.Queue("q"), asynq.Group("g")); err != nil {
			t.Fatal(err)
		}
	}
	base := "/queues/q/groups/g/aggregating_tasks"
	if a := w.api(http.MethodPost, base+"/g1:run", ""); a.status != http.StatusNoContent || w.stateOf("q", "g1") != "pending" {
		t.Errorf("run: answer %d %s, the task is %s", a.status, a.body, w.stateOf("q", "g1"))
	}
	if a := w.api(http.MethodDelete, base+"/g2", ""); a.status != http.StatusNoContent || w.stateOf("q", "g2") != "" {
		t.Errorf("delete: answer %d %s", a.status, a.body)
	}
	if a := w.api(http.MethodPost, base+":archive_all", ""); decode[map[string]int](t, a)["archived"] != 2 || w.stateOf("q", "g4") != "archived" {
		t.Errorf("archive_all: answer %d %s, a task is %s", a.status, a.body, w.stateOf("q", "g4"))
	}
	w.audited("task.archive_all", "queue q")
}
