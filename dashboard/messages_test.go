package dashboard_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"evalq/tasks"
)

// put has a message of package mq in Redis, as the plain mode leaves it.
func (w *world) put(typ, id, state string) {
	w.tb.Helper()
	if _, err := w.client.Enqueue(asynq.NewTask(typ, []byte(`{"user_id":7}`)), asynq.Queue("mq"), asynq.TaskID(id)); err != nil {
		w.tb.Fatal(err)
	}
	if state == "archived" {
		if err := asynq.NewInspectorFromRedisClient(w.redis).ArchiveTask("mq", id); err != nil {
			w.tb.Fatal(err)
		}
	}
}

func TestTheOverviewShowsTheDeadEvaluationsAndTheConsumersOfPackageMq(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	if page := get(w.handler, "/").body; strings.Contains(page, "package mq") {
		t.Error("a queue that was never used is shown")
	}
	for i, typ := range []string{"evaluation_report", "topic_evaluation", "mail"} {
		w.put(typ, fmt.Sprint("dead", i), "archived")
	}
	page := get(w.handler, "/").body
	for _, want := range []string{"<b>2</b> dead evaluations", "No consumer of this queue is connected", `/asynqmon/queues/mq?status=archived`} {
		if !strings.Contains(page, want) {
			t.Errorf("the overview lacks %q", want)
		}
	}
	srv := asynq.NewServerFromRedisClient(w.redis, asynq.Config{Queues: map[string]int{"mq": 1}, Concurrency: 3, LogLevel: asynq.FatalLevel})
	if err := srv.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { return nil })); err != nil {
		t.Fatal(err)
	}
	defer srv.Shutdown()
	deadline := time.After(60 * time.Second)
	for {
		page = get(w.handler, "/").body
		if strings.Contains(page, "Messages of package mq go to its consumer below") && !strings.Contains(page, "No consumer of this queue") {
			break
		}
		select {
		case <-deadline:
			t.Fatalf("the consumer is not shown: %s", page)
		default:
		}
	}
	if live := get(w.handler, "/live.json").body; !strings.Contains(live, `"dead":3`) || !strings.Contains(live, `"consumers":1`) {
		t.Errorf("the bar is told %s", live)
	}
}

func TestThePageOfAnInterviewThatIsNotThereSaysOnlyOfHeldJobsThatTheyWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.ledger.add(tasks.Succeeded, func(j *tasks.Job) { j.UserID, j.ReportID = 7, 42424242 })
	a := get(w.handler, "/interviews/42424242")
	if a.status != http.StatusOK || strings.Contains(a.body, "held") || !strings.Contains(a.body, "read it elsewhere") {
		t.Errorf("answer %d: %s", a.status, a.body)
	}
}
