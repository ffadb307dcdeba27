package client_test

import (
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"evalq/client"
	"evalq/internal/redistest"
	"evalq/tasks"
)

// redisWorld is a Redis of the test's own, seen by a client and by Asynq.
type redisWorld struct {
	*client.Client
	raw   *redis.Client
	asynq *asynq.Inspector
}

func redisServer(t *testing.T) redisWorld {
	t.Helper()
	s := redistest.Start(t, redistest.WithPassword("p@ss:w/rd"))
	raw := redis.NewClient(&redis.Options{Network: "unix", Addr: s.Socket, Password: "p@ss:w/rd"})
	t.Cleanup(func() { raw.Close() })
	return redisWorld{open(t, s.URL, nil), raw, asynq.NewInspectorFromRedisClient(raw)}
}

func TestARedisURLPutsATaskThatAWorkerCanTakeOver(t *testing.T) {
	t.Parallel()
	w := redisServer(t)
	job, err := w.Submit(t.Context(), tasks.EvaluationReport{UserID: 9223372036854775807, ReportID: 9007199254740993}, client.WithPriority(tasks.Critical))
	if err != nil {
		t.Fatal(err)
	}
	if job.ID != "" || job.UserID != 9223372036854775807 || job.Priority != tasks.Critical {
		t.Errorf("%+v", job)
	}
	info, err := w.asynq.GetTaskInfo("critical", "adopt.evaluation_report.9223372036854775807.9007199254740993")
	if err != nil {
		t.Fatal(err)
	}
	if info.Type != "evaluation_report" || string(info.Payload) != `{"user_id":9223372036854775807,"report_id":9007199254740993}` ||
		info.State != asynq.TaskStatePending || info.MaxRetry != 1_000_000 || info.Timeout != 24*time.Hour || info.Retention != 0 {
		t.Errorf("%+v", info)
	}
}

func TestATaskThatWaitsForItsTimeIsBroughtForward(t *testing.T) {
	t.Parallel()
	w := redisServer(t)
	submit := func(opts ...client.Option) tasks.Job {
		t.Helper()
		j, err := w.Submit(t.Context(), wish, opts...)
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	due := func() time.Time {
		t.Helper()
		info, err := w.asynq.GetTaskInfo("default", adopted)
		if err != nil {
			t.Fatal(err)
		}
		return info.NextProcessAt
	}
	tonight, tomorrow := time.Now().Add(12*time.Hour), time.Now().Add(24*time.Hour)
	submit(client.At(tomorrow))
	if j := submit(client.At(tonight)); !slices.Equal(j.Changed, []string{tasks.ChangedRunAt}) || due().Unix() != tonight.Unix() {
		t.Errorf("due %s: %+v", due(), j)
	}
	if j := submit(client.At(tomorrow)); j.Changed != nil || due().Unix() != tonight.Unix() {
		t.Errorf("put off to %s: %+v", due(), j)
	}
	if j := submit(); !slices.Equal(j.Changed, []string{tasks.ChangedRunAt}) || due().After(time.Now().Add(time.Second)) {
		t.Errorf("due %s: %+v", due(), j)
	}
}

func TestSubmittingAgainWhileTheTaskWaitsIsOneTask(t *testing.T) {
	t.Parallel()
	w := redisServer(t)
	at := client.At(time.Now().Add(time.Hour))
	for range 3 {
		if _, err := w.Submit(t.Context(), tasks.TopicEvaluation{UserID: 1, ReportID: 2}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Submit(t.Context(), tasks.Custom{Name: "own", UserID: 1, ReportID: 2, Data: json.RawMessage(`{"k":1}`)}, at); err != nil {
			t.Fatal(err)
		}
	}
	q, err := w.asynq.GetQueueInfo("default")
	if err != nil || q.Pending != 1 || q.Scheduled != 1 {
		t.Errorf("%+v %v", q, err)
	}
}

func TestADataOfItsOwnIsATaskOfItsOwn(t *testing.T) {
	t.Parallel()
	w := redisServer(t)
	for _, data := range []string{`{"k":1}`, `{"k":2}`, `{ "k": 1 }`, ``} {
		if _, err := w.Submit(t.Context(), tasks.Custom{Name: "own", UserID: 1, ReportID: 2, Data: json.RawMessage(data)}); err != nil {
			t.Fatal(err)
		}
	}
	list, err := w.asynq.ListPendingTasks("default")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, info := range list {
		got = append(got, string(info.Payload))
		if strings.ContainsAny(info.ID, "-/") { // Asynqmon would not show it whole
			t.Errorf("id %q", info.ID)
		}
	}
	slices.Sort(got)
	want := []string{`{"user_id":1,"report_id":2,"data":{"k":1}}`, `{"user_id":1,"report_id":2,"data":{"k":2}}`, `{"user_id":1,"report_id":2}`}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestAnArchivedLeftoverDoesNotStandInTheWay(t *testing.T) {
	t.Parallel()
	w := redisServer(t)
	p := tasks.TopicEvaluation{UserID: 1, ReportID: 2}
	if _, err := w.Submit(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	const id = "adopt.topic_evaluation.1.2"
	if err := w.asynq.ArchiveTask("default", id); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Submit(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	info, err := w.asynq.GetTaskInfo("default", id)
	if err != nil || info.State != asynq.TaskStatePending {
		t.Errorf("%+v %v", info, err)
	}
}

func TestSubmittingOutlivesAnEmptiedRedis(t *testing.T) {
	t.Parallel()
	w := redisServer(t)
	p := tasks.TopicEvaluation{UserID: 1, ReportID: 2}
	if _, err := w.Submit(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if err := w.raw.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := w.Submit(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	if q, err := w.asynq.GetQueueInfo("default"); err != nil || q.Pending != 1 {
		t.Errorf("%+v %v", q, err)
	}
}

func TestWhatARedisURLCannotDoSaysWhichURLCan(t *testing.T) {
	t.Parallel()
	w := redisServer(t)
	ctx := t.Context()
	for name, do := range map[string]func() error{
		"get":      func() error { _, err := w.Get(ctx, "x"); return err },
		"find":     func() error { _, err := w.Find(ctx, "k", 1, 2); return err },
		"wait":     func() error { _, err := w.Wait(ctx, "x"); return err },
		"list":     func() error { _, err := w.List(ctx, tasks.Filter{}); return err },
		"retry":    func() error { _, err := w.Retry(ctx, "x", ""); return err },
		"cancel":   func() error { _, err := w.Cancel(ctx, "x", ""); return err },
		"attempts": func() error { _, err := w.Attempts(ctx, "x"); return err },
		"events":   func() error { _, err := w.Events(ctx, "x"); return err },
		"put":      func() error { _, err := w.PutInterview(ctx, 1, []byte("{}")); return err },
		"report":   func() error { _, err := w.Report(ctx, 1); return err },
		"purge":    func() error { _, err := w.Purge(ctx, time.Now(), true); return err },
		"erase":    func() error { _, err := w.Erase(ctx, 1, true); return err },
		"backup":   func() error { _, err := w.Backup(ctx, io.Discard); return err },
		"anew": func() error {
			_, err := w.Submit(ctx, tasks.TopicEvaluation{UserID: 1, ReportID: 2}, client.Anew())
			return err
		},
	} {
		if err := do(); !errors.Is(err, client.ErrNeedsLedger) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSubmitManyToRedisAnswersEachRequest(t *testing.T) {
	t.Parallel()
	w := redisServer(t)
	out, err := w.SubmitMany(t.Context(), []tasks.Request{
		{Payload: tasks.TopicEvaluation{UserID: 1, ReportID: 1}},
		{Payload: tasks.TopicEvaluation{UserID: 0, ReportID: 1}},
		{Payload: tasks.EvaluationReport{UserID: 1, ReportID: 1}, Priority: tasks.Low},
	})
	var invalid *tasks.InvalidError
	if err != nil || out[0].Err != nil || !errors.As(out[1].Err, &invalid) || out[2].Err != nil || out[2].Job.Priority != tasks.Low {
		t.Errorf("%v %+v", err, out)
	}
}

func TestARedisThatGoesAwayIsToldAndSafeToRepeat(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := open(t, s.URL, &client.Config{Timeout: 300 * time.Millisecond})
	s.Kill()
	_, err := c.SubmitMany(t.Context(), []tasks.Request{{Payload: tasks.TopicEvaluation{UserID: 1, ReportID: 1}}, {Payload: tasks.TopicEvaluation{UserID: 1, ReportID: 2}}})
	if !errors.Is(err, tasks.ErrOutcomeUnknown) {
		t.Error(err)
	}
}
