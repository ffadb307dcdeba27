package dashboard_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"evalq/tasks"
)

// untouched fails the test if the job is not as it was.
func (w *world) untouched(was tasks.Job) {
	w.tb.Helper()
	now := w.ledger.job(was.ID)
	if now.State != was.State || now.Delivery != was.Delivery || now.Run != was.Run || now.CancelAsk != was.CancelAsk {
		w.tb.Errorf("the job was %s, delivery %d, run %d; it is %s, %d, %d, asked to stop: %t",
			was.State, was.Delivery, was.Run, now.State, now.Delivery, now.Run, now.CancelAsk)
	}
}

// deletions are the forms in which Asynqmon deletes a task of a state.
var deletions = map[string]func(w *world, state, id string) answer{
	"one": func(w *world, state, id string) answer {
		return w.api(http.MethodDelete, "/queues/default/"+state+"_tasks/"+id, "")
	},
	"batch": func(w *world, state, id string) answer {
		return w.api(http.MethodPost, "/queues/default/"+state+"_tasks:batch_delete", fmt.Sprintf(`{"task_ids":[%q]}`, id))
	},
	"all": func(w *world, state, _ string) answer {
		return w.api(http.MethodDelete, "/queues/default/"+state+"_tasks:delete_all", "")
	},
}

func TestDeletionOfCompletedOrArchivedTasksTouchesNoUnfinishedJob(t *testing.T) {
	t.Parallel()
	for form, del := range deletions {
		for _, shown := range []string{"completed", "archived"} {
			t.Run(form+" "+shown, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, nil)
				for _, state := range []tasks.State{tasks.Held, tasks.Accepted, tasks.Queued, tasks.Running, tasks.Retrying} {
					job := w.queued(state, shown)
					if a := del(w, shown, job.TaskID()); a.status >= 300 {
						t.Errorf("%s: answer %d %s", state, a.status, a.body)
					}
					w.untouched(job)
					if got := w.stateOf("default", job.TaskID()); got != "" {
						t.Errorf("%s: the record stays: %s", state, got)
					}
				}
			})
		}
	}
}

func TestDeletionByAStateThatTheTaskHasLeftChangesNothing(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"one", "batch"} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			for shown, state := range map[string]tasks.State{"pending": tasks.Queued, "retry": tasks.Retrying, "scheduled": tasks.Queued, "active": tasks.Running} {
				job := w.queued(state, shown)
				a := deletions[form](w, "completed", job.TaskID())
				if form == "one" && a.status != http.StatusConflict || form == "batch" && !strings.Contains(a.body, `"deleted_ids":[]`) {
					t.Errorf("%s: answer %d %s, want a refusal", shown, a.status, a.body)
				}
				w.untouched(job)
				if got := w.stateOf("default", job.TaskID()); got != shown {
					t.Errorf("the %s task is %q", shown, got)
				}
			}
			held := w.queued(tasks.Held, "completed")
			deletions[form](w, "pending", held.TaskID())
			w.untouched(held)
		})
	}
}

func TestAnActionOnATaskLeavesAJobAloneThatWasHandedOverMeanwhile(t *testing.T) {
	t.Parallel()
	for path, was := range map[string]tasks.State{
		"DELETE pending_tasks/%s": tasks.Queued, "DELETE retry_tasks/%s": tasks.Retrying, "DELETE scheduled_tasks/%s": tasks.Queued,
		"POST pending_tasks/%s:archive": tasks.Queued, "POST retry_tasks/%s:archive": tasks.Retrying, "POST archived_tasks/%s:run": tasks.Dead,
		"POST retry_tasks/%s:run": tasks.Retrying, "POST active_tasks/%s:cancel": tasks.Running,
	} {
		for _, meanwhile := range []string{"new delivery", "held"} {
			t.Run(path+" "+meanwhile, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, nil)
				method, form, _ := strings.Cut(path, " ")
				shown, _, _ := strings.Cut(form, "_")
				job := w.queued(was, shown)
				var then tasks.Job
				w.ledger.before = func(j *tasks.Job) {
					if meanwhile == "held" {
						j.State = tasks.Held
					} else {
						j.State, j.Delivery = tasks.Queued, j.Delivery+1
					}
					then = *j
				}
				if a := w.api(method, "/queues/default/"+fmt.Sprintf(form, job.TaskID()), ""); a.status != http.StatusConflict {
					t.Errorf("answer %d %s, want 409", a.status, a.body)
				}
				w.untouched(then)
			})
		}
	}
}

func TestAnActionOnAnOldDeliverysTaskLeavesTheUnfinishedJobAlone(t *testing.T) {
	t.Parallel()
	for _, state := range []tasks.State{tasks.Accepted, tasks.Queued, tasks.Held, tasks.Running, tasks.Retrying} {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			job := w.ledger.add(state, func(j *tasks.Job) { j.Delivery = 3 })
			w.enqueue("default", tasks.TaskID(job.ID, 1), "archived")
			w.enqueue("default", tasks.TaskID(job.ID, 2), "active")
			for call, want := range map[string]string{
				"POST archived_tasks:run_all": `"scheduled":0`, "POST active_tasks:cancel_all": "",
				"POST active_tasks/" + tasks.TaskID(job.ID, 2) + ":cancel": "job",
			} {
				method, path, _ := strings.Cut(call, " ")
				if a := w.api(method, "/queues/default/"+path, ""); !strings.Contains(a.body, want) {
					t.Errorf("%s answers %d %s", call, a.status, a.body)
				}
				w.untouched(job)
			}
			if a := w.api(http.MethodDelete, "/queues/default/archived_tasks:delete_all", ""); !strings.Contains(a.body, `"deleted":1`) {
				t.Errorf("delete_all answers %s", a.body)
			}
			w.untouched(job)
		})
	}
}

func TestTheAuditLogCountsWhatAnActionOnManyTasksHasTouched(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		path        string
		state       tasks.State
		want, batch string
	}{
		{"POST pending_tasks:archive_all", tasks.Queued, "3 tasks done, 0 refused, 3 jobs changed", ""},
		{"POST archived_tasks:run_all", tasks.Dead, "3 tasks done, 0 refused, 3 jobs changed", ""},
		{"POST active_tasks:cancel_all", tasks.Running, "3 tasks done, 0 refused, 3 jobs changed", ""},
		{"DELETE pending_tasks:delete_all", tasks.Queued, "3 tasks done, 0 refused, 3 jobs changed", ""},
		{"DELETE completed_tasks:delete_all", tasks.Held, "3 tasks done, 0 refused, 0 jobs changed", ""},
		{"POST pending_tasks:batch_delete", tasks.Queued, "1 tasks done, 1 refused, 1 jobs changed", `{"task_ids":[%q,"nobody.1"]}`},
		{"POST retry_tasks:batch_archive", tasks.Retrying, "1 tasks done, 1 refused, 1 jobs changed", `{"task_ids":[%q,"nobody.1"]}`},
		{"POST archived_tasks:batch_run", tasks.Dead, "1 tasks done, 1 refused, 1 jobs changed", `{"task_ids":[%q,"nobody.1"]}`},
		{"POST active_tasks:batch_cancel", tasks.Running, "1 tasks done, 0 refused, 1 jobs changed", `{"task_ids":[%q]}`},
	} {
		t.Run(one.path, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			method, path, _ := strings.Cut(one.path, " ")
			shown, _, _ := strings.Cut(path, "_")
			var job tasks.Job
			for range 3 {
				job = w.queued(one.state, shown)
			}
			body := one.batch
			if body != "" {
				body = fmt.Sprintf(body, job.TaskID())
			}
			if a := w.api(method, "/queues/default/"+path, body); a.status >= 300 {
				t.Fatalf("answer %d %s", a.status, a.body)
			}
			entries, err := w.ledger.AuditLog(t.Context(), 1)
			if err != nil || len(entries) != 1 || !strings.Contains(entries[0].Detail, one.want) {
				t.Errorf("newest entry %+v, %v; want %q", entries, err, one.want)
			}
		})
	}
}
