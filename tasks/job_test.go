package tasks_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"evalq/tasks"
)

var farAway = time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC)

func fullJob() tasks.Job {
	return tasks.Job{
		ID: "000000000000000000000000", Kind: custom, UserID: 9007199254740993, ReportID: 9223372036854775807, Priority: tasks.Low, State: tasks.Running,
		Delivery: 3, Attempt: 2, Data: json.RawMessage(`{"answer":"s3cr3t"}`), Result: json.RawMessage(`"s3cr3t"`),
		Error: &tasks.Failure{Class: tasks.ClassInternal, Message: "s3cr3t"},
	}
}

func TestAFailureMattersWhileTheJobWaitsBecauseOfItOrIsDead(t *testing.T) {
	t.Parallel()
	failed := &tasks.Failure{Class: tasks.ClassTimeout}
	for _, s := range tasks.States() {
		want := s == tasks.Retrying || s == tasks.Held || s == tasks.Dead
		if got := (tasks.Job{State: s, Error: failed}).Failing(); got != want {
			t.Errorf("%s: %v", s, got)
		}
		if (tasks.Job{State: s}).Failing() {
			t.Errorf("%s without a failure is failing", s)
		}
	}
}

func TestAJobIsLoggedUnderTheAgreedKeysWithoutItsPayload(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "job", fullJob().Ref())
	var line struct {
		Job map[string]json.RawMessage `json:"job"`
	}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for k, v := range line.Job {
		got[k] = string(v)
	}
	want := map[string]string{
		"id": `"000000000000000000000000"`, "kind": `"resume_parse"`, "queue": `"low"`, "user_id": "9007199254740993", "report_id": "9223372036854775807", "attempt": "2",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if strings.Contains(out.String(), "s3cr3t") {
		t.Errorf("the log line holds the payload: %s", out.String())
	}
}

func TestAJobKnowsItsTaskAndItsPayload(t *testing.T) {
	t.Parallel()
	j := fullJob()
	if got := j.TaskID(); got != j.ID+".3" {
		t.Errorf("task id %q", got)
	}
	want := tasks.Custom{Name: custom, UserID: j.UserID, ReportID: j.ReportID, Data: j.Data}
	if diff := cmp.Diff(tasks.Payload(want), j.Payload()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	j.Kind = tasks.KindTopicEvaluation
	if got := j.Payload(); got != (tasks.TopicEvaluation{UserID: j.UserID, ReportID: j.ReportID}) {
		t.Errorf("payload %+v", got)
	}
}

func TestAJobKeepsEveryDigitThroughJSON(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(fullJob())
	if err != nil {
		t.Fatal(err)
	}
	var back tasks.Job
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fullJob(), back); diff != "" {
		t.Errorf("-in +out\n%s", diff)
	}
}

func TestOverviewSumsAStateOverTheQueues(t *testing.T) {
	t.Parallel()
	o := tasks.Overview{Queues: map[tasks.Priority]map[tasks.State]int{
		tasks.Critical: {tasks.Queued: 2, tasks.Dead: 5}, tasks.Default: {tasks.Queued: 3}, tasks.Low: nil,
	}}
	if got := o.Count(tasks.Queued); got != 5 {
		t.Errorf("queued: %d", got)
	}
	if got := o.Count(tasks.Held); got != 0 {
		t.Errorf("held: %d", got)
	}
}

func TestThreeQueuesWeighSixThreeOne(t *testing.T) {
	t.Parallel()
	var got []int
	for _, p := range tasks.Priorities() {
		if err := p.Validate(); err != nil {
			t.Error(err)
		}
		got = append(got, p.Weight())
	}
	if diff := cmp.Diff([]int{6, 3, 1}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	for _, p := range []tasks.Priority{"", "Critical", "urgent"} {
		if p.Validate() == nil {
			t.Errorf("%q passes", p)
		}
	}
}

func TestTheBuiltInKindsBearTheNamesOfTheirMessages(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff([]tasks.Kind{"evaluation_report", "topic_evaluation"}, tasks.Kinds()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	for _, k := range tasks.Kinds() {
		if k.Validate() != nil || !k.Builtin() {
			t.Errorf("%s: %v, built in %v", k, k.Validate(), k.Builtin())
		}
	}
	if custom.Builtin() || custom.Validate() != nil {
		t.Errorf("%s is taken for a built-in kind, or refused", custom)
	}
}
