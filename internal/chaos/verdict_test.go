package chaos

import (
	"slices"
	"strings"
	"testing"

	"evalq/tasks"
)

// clean is the evidence of two jobs of one report that were evaluated as they
// should be: both needed one answer, one called, the other waited.
func clean() evidence {
	rec := &record{
		jobs: map[string]jobRow{
			"a": {id: "a", kind: tasks.KindEvaluationReport, report: 7, state: tasks.Succeeded},
			"b": {id: "b", kind: tasks.KindTopicEvaluation, report: 7, state: tasks.Succeeded},
		},
		attempts: []attemptRow{
			{job: "a", number: 1, worker: "w1", outcome: "succeeded", started: 1000, finished: 1200},
			{job: "b", number: 1, worker: "w2", outcome: "held", started: 1010, finished: 1020},
			{job: "b", number: 2, worker: "w2", outcome: "succeeded", started: 1150, finished: 1180},
		},
		events: []eventRow{
			{job: "a", at: 1000, to: tasks.Running}, {job: "b", at: 1010, to: tasks.Running},
			{job: "b", at: 1020, to: tasks.Held, why: "answer in progress"}, {job: "b", at: 1120, to: tasks.Accepted},
			{job: "b", at: 1150, to: tasks.Running}, {job: "b", at: 1180, to: tasks.Succeeded}, {job: "a", at: 1200, to: tasks.Succeeded},
		},
		checkpoints: []checkpointRow{{report: 7, name: "answer.x", job: "a", attempt: 1, done: 1100, call: 1, input: "x"}},
		results:     map[string][]result{"a": {{attempt: 1}}, "b": {{attempt: 2}}},
	}
	return evidence{
		accepted: map[string]identity{"a": {tasks.KindEvaluationReport, 7}, "b": {tasks.KindTopicEvaluation, 7}},
		record:   rec,
		calls:    []call{{Call: 1, At: 1_005_000, Job: "a", Attempt: 1, Report: 7, Input: "x"}},
		first:    map[string]result{"a": {attempt: 1}},
		struck:   []struck{{fault: fault{kind: redisWiped}, at: 1015, target: "Redis wiped"}},
	}
}

// verdict judges the evidence of two jobs.
func verdict(e evidence) *Report {
	r := judge(e)
	r.Jobs = 2
	return r
}

func TestWhatWentWellIsAPass(t *testing.T) {
	t.Parallel()
	r := verdict(clean())
	if !r.Kept() || r.Finished != 2 || r.Waits != 1 || r.Calls != 1 || r.Answers != 1 {
		t.Fatalf("%v: %+v", r.Failures(), r)
	}
	if row := r.Faults[0]; row.Hit != 2 || row.Longest != 85 {
		t.Errorf("the fault: %+v", row)
	}
}

func TestEveryBrokenPromiseFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(e *evidence)
		want  string
	}{
		"an acknowledged job that is not there": {func(e *evidence) { delete(e.record.jobs, "b") }, "1 accepted jobs were lost"},
		"a job that never finished": {func(e *evidence) {
			e.record.jobs["b"] = jobRow{id: "b", kind: tasks.KindTopicEvaluation, report: 7, state: tasks.Queued}
			e.record.attempts[2].outcome = ""
			delete(e.record.results, "b")
		}, "1 accepted jobs were lost"},
		"a dead job": {func(e *evidence) {
			e.record.jobs["b"] = jobRow{id: "b", kind: tasks.KindTopicEvaluation, report: 7, state: tasks.Dead}
			e.record.attempts[2].outcome = "dead"
			delete(e.record.results, "b")
		}, "1 accepted jobs were lost"},
		"a success without a result": {func(e *evidence) { delete(e.record.results, "b") }, "1 accepted jobs were lost"},
		"two attempts that succeeded": {func(e *evidence) {
			e.record.attempts = append(e.record.attempts, attemptRow{job: "a", number: 2, outcome: "succeeded"})
		}, "1 results were written twice"},
		"the result of another attempt": {func(e *evidence) { e.record.results["b"][0].attempt = 1 }, "1 results were written twice"},
		"a result that changed":         {func(e *evidence) { e.record.results["a"][0].hash[0] = 1 }, "1 results were written twice"},
		"a call after the commit": {func(e *evidence) {
			e.calls = append(e.calls, call{Call: 2, At: 1_101_000, Job: "b", Attempt: 2, Report: 7, Input: "x"})
		}, "1 committed calls were made again"},
		"a later call within the millisecond of the commit": {func(e *evidence) {
			e.calls = append(e.calls, call{Call: 2, At: 1_100_999, Job: "b", Attempt: 2, Report: 7, Input: "x"})
		}, "1 committed calls were made again"},
		"a call before the commit that no history names": {func(e *evidence) {
			e.calls = append(e.calls, call{Call: 2, At: 1_050_000, Job: "b", Attempt: 1, Report: 7, Input: "x"})
		}, "1 uncommitted calls are not listed"},
		"a call whose answer is nowhere": {func(e *evidence) {
			e.calls = append(e.calls, call{Call: 2, At: 1_050_000, Job: "b", Attempt: 1, Report: 7, Input: "y"})
		}, "1 uncommitted calls are not listed"},
		"a second job for the same request": {func(e *evidence) {
			e.record.jobs["c"] = jobRow{id: "c", kind: tasks.KindTopicEvaluation, report: 7, revision: 2, state: tasks.Succeeded}
			e.record.attempts = append(e.record.attempts, attemptRow{job: "c", number: 1, outcome: "succeeded"})
			e.record.results["c"] = []result{{attempt: 1}}
		}, "1 second submissions were answered with another job"},
		"a job that was never accepted": {func(e *evidence) { delete(e.accepted, "b") }, "1 jobs were never accepted"},
		"a fault that hit nothing":      {func(e *evidence) { e.struck[0].at = 900 }, "hit no running work"},
		"a fault that came too late":    {func(e *evidence) { e.struck[0].undone = errDry.Error() }, "did not strike as often as planned"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := clean()
			c.spoil(&e)
			r := verdict(e)
			if got := strings.Join(r.Failures(), "; "); !strings.Contains(got, c.want) {
				t.Errorf("the failures are %q, want %q; details %q", got, c.want, r.Details)
			}
		})
	}
}

func TestACallThatAHistoryNamesOnceIsListedOnce(t *testing.T) {
	t.Parallel()
	e := clean()
	e.calls = append(e.calls,
		call{Call: 2, At: 1_050_000, Job: "b", Attempt: 1, Report: 7, Input: "x"},
		call{Call: 3, At: 1_060_000, Job: "b", Attempt: 1, Report: 7, Input: "x"})
	e.record.events = append(e.record.events, eventRow{job: "b", at: 1100, to: tasks.Running, why: paidAgain + "answer.x"})
	r := verdict(e)
	if r.MaybeTwice != 2 || r.Listed != 1 || r.Unlisted != 1 {
		t.Errorf("possibly twice %d, listed %d, unlisted %d", r.MaybeTwice, r.Listed, r.Unlisted)
	}
}

func TestAFaultHitsWhatItsOwnWorkerRunsAndNotWhatADeadOneLeft(t *testing.T) {
	t.Parallel()
	e := clean()
	e.record.attempts[0] = attemptRow{job: "a", number: 1, worker: "w1", outcome: "lost", started: 1000, finished: 9500}
	e.record.events = []eventRow{{job: "a", at: 1000, to: tasks.Running}, {job: "a", at: 9500, to: tasks.Accepted}, {job: "a", at: 9600, to: tasks.Running}}
	e.record.checkpoints = nil
	e.struck = []struck{
		{fault: fault{kind: workerKilled, calm: true}, at: 1005, worker: "w1", target: "worker killed: worker1"},
		{fault: fault{kind: redisWiped}, at: 1015, target: "Redis wiped"},
	}
	r := verdict(e)
	rows := map[string]FaultRow{}
	for _, f := range r.Faults {
		rows[f.Fault] = f
	}
	if killed := rows[string(workerKilled)]; killed.Hit != 1 || killed.Longest != 8595 || r.WorkerRecovery.MS != 8595 {
		t.Errorf("the kill: %+v, %+v", killed, r.WorkerRecovery)
	}
	if wiped := rows[string(redisWiped)]; wiped.Hit != 1 { // what the other worker runs
		t.Errorf("the wipe: %+v", wiped)
	}
}

func TestASeedMakesOneSchedule(t *testing.T) {
	t.Parallel()
	for _, whole := range []bool{false, true} {
		for _, short := range []bool{false, true} {
			a, b := schedule(7, whole, short), schedule(7, whole, short)
			if !slices.Equal(a, b) {
				t.Errorf("two schedules from one seed:\n%v\n%v", a, b)
			}
			if slices.Equal(a, schedule(8, whole, short)) {
				t.Error("another seed made the same schedule")
			}
			if i := slices.IndexFunc(a, func(f fault) bool { return f.kind == ledgerFull }); i < len(a)/2 {
				t.Errorf("the ledger is to run full as fault %d of %d, when there is little in it", i, len(a))
			}
		}
	}
	full := map[kind]int{}
	for _, f := range schedule(7, false, false) {
		full[f.kind]++
	}
	if full[workerKilled] != 10 || full[apiKilled] != 3 || full[redisKilled] != 5 || full[redisWiped] != 1 || full[ledgerFull] != 1 {
		t.Errorf("the full schedule is %v", full)
	}
}
