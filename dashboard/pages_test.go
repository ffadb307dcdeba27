package dashboard_test

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"evalq/dashboard"
	"evalq/tasks"
)

const hostile = `</textarea><script>alert("x")</script><img src=x onerror=alert(1)>&'`

func TestHostileTextIsShownAsText(t *testing.T) {
	t.Parallel()
	ledger, h := offline(t, nil)
	quoted, _ := json.Marshal(hostile)
	result := fmt.Sprintf(`{"schema":"report/1","overall":10,"band":%[1]s,"summary":%[1]s,"language":%[1]s,"answers":[{"dialog_id":%[1]s,"topic":%[1]s,"score":1,"flags":[%[1]s],"points":[{"text":%[1]s,"status":%[1]s,"evidence":{"quote":%[1]s}}]}]}`, quoted)
	job := ledger.add(tasks.Dead, func(j *tasks.Job) {
		j.Error = &tasks.Failure{Class: tasks.ClassInternal, Message: hostile, Stack: hostile}
		j.Judge, j.Result, j.ReportID = hostile, json.RawMessage(result), 5
	})
	ledger.attempts[job.ID] = []tasks.Attempt{{Number: 1, Worker: hostile, Outcome: hostile, Error: job.Error, StartedAt: time.Now()}}
	ledger.events[job.ID] = []tasks.Event{{To: tasks.Dead, Who: hostile, Why: hostile, Build: hostile}}
	ledger.entries = []tasks.AuditEntry{{Who: hostile, Action: hostile, Target: hostile, Detail: hostile, From: hostile}}
	ledger.workers = []tasks.Worker{{ID: hostile, Host: hostile, Build: hostile}}
	ledger.interviews[5] = []byte(fmt.Sprintf(`{"user_id":7,"report_id":5,"title":%[1]s,"position":%[1]s,"language":%[1]s,"answers":[{"topic":%[1]s,"question":%[1]s,"answer":%[1]s,"reference":%[1]s,"key_points":[{"id":"a","text":%[1]s,"weight":1,"aliases":[%[1]s]}]}]}`, quoted))
	escaped := html.EscapeString(hostile)
	for _, path := range []string{"/", "/jobs", "/jobs/" + job.ID, "/interviews/5", "/audit", "/jobs?kind=" + url.QueryEscape(hostile), "/sign-in?next=" + url.QueryEscape(hostile)} {
		a := get(h, path)
		if strings.Contains(a.body, "<script>alert") || strings.Contains(a.body, "<img src=x") {
			t.Errorf("%s lets hostile text through", path)
		}
		if !strings.HasPrefix(path, "/sign-in") && path != "/jobs" && !strings.Contains(a.body, strings.ReplaceAll(escaped, "'", "&#39;")) {
			t.Errorf("%s does not show the text: %d", path, a.status)
		}
	}
}

func TestOverviewShowsQueuesWorkersWaitingAndFailures(t *testing.T) {
	t.Parallel()
	ledger, h := offline(t, &dashboard.Config{Build: "v9.8.7"})
	oldest := ledger.add(tasks.Accepted, func(j *tasks.Job) { j.Priority, j.AcceptedAt = tasks.Low, time.Now().Add(-3*time.Hour) })
	dead := ledger.add(tasks.Dead, func(j *tasks.Job) {
		j.Error, j.FinishedAt = &tasks.Failure{Class: tasks.ClassNotAssessable, Message: "nothing to measure"}, time.Now()
	})
	ledger.workers = []tasks.Worker{
		{ID: "w1", Slots: 4, Running: []tasks.ActiveAttempt{{Job: dead.ID, Attempt: 2, StartedAt: time.Now(), Stuck: true}}, BeatAt: time.Now()},
		{ID: "w2", Slots: 4, Draining: true},
	}
	ledger.paused[tasks.Critical] = true
	a := get(h, "/")
	for _, want := range []string{
		"v9.8.7", `href="/jobs/` + oldest.ID + `"`, "3 h ago", `href="/jobs/` + dead.ID + `"`, "nothing to measure", "not_assessable",
		"1 of 8 slots busy", ">stuck<", ">draining<", ">paused<", `/queues/critical/resume"`, `/queues/low/pause"`, `href="/jobs?queue=low&amp;state=accepted">1<`,
		`hx-get="/"`, `hx-trigger="every 3s, visibilitychange from:document"`,
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the overview lacks %s", want)
		}
	}
	ledger.workers = nil
	if a := get(h, "/"); !strings.Contains(a.body, "No worker is connected") {
		t.Error("nothing says that no worker is there")
	}
	live := decode[struct {
		States  map[string]int `json:"states"`
		Workers int            `json:"workers"`
	}](t, call(h, http.MethodGet, "/live.json", nil))
	if live.States["accepted"] != 1 || live.States["dead"] != 1 || live.Workers != 0 {
		t.Errorf("live: %+v", live)
	}
}

func TestOurPauseButtonDoesWhatAsynqmonsDoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.enqueue("low", "foreign", "pending")
	a := post(w.handler, "/queues/low/pause", url.Values{"back": {"/"}})
	info, err := w.inspector.GetQueueInfo("low")
	recorded, _ := w.ledger.Paused(t.Context())
	if a.status != http.StatusSeeOther || err != nil || !info.Paused || !recorded[tasks.Low] {
		t.Errorf("answer %d; Asynq %v, %v; ledger %v", a.status, info, err, recorded)
	}
	w.audited("queue.pause", "low")
	if a := get(w.handler, a.header.Get("Location")); !strings.Contains(a.body, "Paused.") {
		t.Error("the page does not say what was done")
	}
	for _, path := range []string{"/queues/other/pause", "/queues/low/explode"} {
		if a := post(w.handler, path, nil); a.status < 400 || a.status >= 500 {
			t.Errorf("%s: answer %d", path, a.status)
		}
	}
}

func TestTheListKeepsItsFilterInTheAddressAndPages(t *testing.T) {
	t.Parallel()
	ledger, h := offline(t, nil)
	var first tasks.Job
	for i := range 60 {
		job := ledger.add(tasks.Dead, func(j *tasks.Job) {
			j.UserID, j.Error = 9007199254740993, &tasks.Failure{Class: tasks.ClassTimeout}
		})
		if i == 0 {
			first = job
		}
	}
	ledger.add(tasks.Queued, nil)
	path := "/jobs?state=dead&user=9007199254740993&class=timeout&queue=default&kind=evaluation_report"
	a := get(h, path)
	if n := strings.Count(a.body, `<tr id="job-`); n != 50 || strings.Contains(a.body, first.ID) {
		t.Fatalf("%d jobs on the first page, want the newest 50", n)
	}
	if !strings.Contains(a.body, "Run all 50 dead jobs shown") || !strings.Contains(a.body, ">9007199254740993<") || !strings.Contains(a.body, `value="9007199254740993"`) {
		t.Error("the page lacks the button for all, or digits of an id")
	}
	next := regexp.MustCompile(`<a href="([^"]+)" rel="next">`).FindStringSubmatch(a.body)
	if next == nil {
		t.Fatal("no link to the next page")
	}
	address := html.UnescapeString(next[1])
	for _, want := range []string{"state=dead", "user=9007199254740993", "class=timeout", "cursor="} {
		if !strings.Contains(address, want) {
			t.Errorf("the next page's address %s lacks %s", address, want)
		}
	}
	if a := get(h, address); strings.Count(a.body, `<tr id="job-`) != 10 || !strings.Contains(a.body, first.ID) || !strings.Contains(a.body, ">Newest<") {
		t.Error("the second page is not the rest")
	}
	for _, bad := range []string{"user=x", "user=0", "user=9223372036854775808", "report=1.5", "state=sleeping", "queue=q", "class=c", "kind=A", "cursor=zzz"} {
		if a := get(h, "/jobs?"+bad); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, `role="alert"`) {
			t.Errorf("%s: answer %d, want 422 with a sentence", bad, a.status)
		}
	}
}

func TestRunAndCancelFromOurPagesLeadBackAndAreAudited(t *testing.T) {
	t.Parallel()
	ledger, h := offline(t, nil)
	dead, queued, done := ledger.add(tasks.Dead, nil), ledger.add(tasks.Queued, nil), ledger.add(tasks.Succeeded, nil)
	a := post(h, "/jobs/"+dead.ID+"/retry", url.Values{"back": {"/jobs?state=dead"}})
	if a.status != http.StatusSeeOther || a.header.Get("Location") != "/jobs?done=retried&n=1&state=dead" {
		t.Errorf("run: answer %d to %s", a.status, a.header.Get("Location"))
	}
	page := get(h, a.header.Get("Location"))
	if !strings.Contains(page.body, "with a fresh budget: 1.") || strings.Contains(page.body, `hx-get="/jobs?done`) {
		t.Error("the page does not say what was done, or says it again at each refresh")
	}
	if now := ledger.job(dead.ID); now.State != tasks.Accepted || now.Run != 2 {
		t.Errorf("the job is %s, run %d", now.State, now.Run)
	}
	if a := post(h, "/jobs/"+queued.ID+"/cancel", url.Values{"back": {"https://evil.example/"}}); a.header.Get("Location") != "/?done=cancelled&n=1" {
		t.Errorf("cancel leads to %s", a.header.Get("Location"))
	}
	if ledger.job(queued.ID).State != tasks.Cancelled {
		t.Error("the job was not cancelled")
	}
	if a := post(h, "/jobs/"+done.ID+"/cancel", nil); a.status != http.StatusConflict || !strings.Contains(a.body, "succeeded") {
		t.Errorf("a finished job: answer %d, want 409 that names the state", a.status)
	}
	if a := post(h, "/jobs/"+tasks.NewID(time.Now())+"/retry", nil); a.status != http.StatusNotFound {
		t.Errorf("an unknown job: answer %d", a.status)
	}
	entries, _ := ledger.AuditLog(t.Context(), 9)
	if len(entries) != 4 || entries[3].Action != "job.retry" || entries[3].Target != dead.ID || entries[3].Who != "local" || entries[2].Action != "job.cancel" {
		t.Errorf("audit log: %+v", entries)
	}
	if a := get(h, "/audit"); !strings.Contains(a.body, `href="/jobs/`+dead.ID+`"`) || !strings.Contains(a.body, "192.0.2.1") {
		t.Error("the audit page lacks an entry's job or address")
	}
}

func TestAJobIsEvaluatedAnewFromItsPageWhichLeadsToTheNextRevision(t *testing.T) {
	t.Parallel()
	ledger, h := offline(t, nil)
	done := ledger.add(tasks.Succeeded, nil)
	if page := get(h, "/jobs/"+done.ID); !strings.Contains(page.body, "Evaluate anew") || !strings.Contains(page.body, `name="why"`) {
		t.Error("the page has no button, or asks for no reason")
	}
	a := post(h, "/jobs/"+done.ID+"/retry", url.Values{"anew": {"true"}, "why": {"the judge has changed"}, "back": {"/jobs/" + done.ID}})
	next, err := ledger.Find(t.Context(), done.Kind, done.UserID, done.ReportID)
	if err != nil || next.Revision != 2 || a.status != http.StatusSeeOther || a.header.Get("Location") != "/jobs/"+next.ID+"?done=retried&n=1" {
		t.Fatalf("answer %d to %s; %+v, %v", a.status, a.header.Get("Location"), next, err)
	}
	if page := get(h, "/jobs/"+next.ID); !strings.Contains(page.body, "the judge has changed") || !strings.Contains(page.body, "Kept steps") {
		t.Error("the page of the next revision does not say why it is there")
	}
	if page := get(h, "/jobs/"+done.ID); strings.Contains(page.body, "Evaluate anew") || !strings.Contains(page.body, `href="/jobs/`+next.ID+`"`) {
		t.Error("the page of the old revision does not lead to the newer one")
	}
	entries, _ := ledger.AuditLog(t.Context(), 1)
	if len(entries) != 1 || entries[0].Action != "job.retry" || entries[0].Detail != "evaluate anew: the judge has changed" {
		t.Errorf("audit log: %+v", entries)
	}
	if a := post(h, "/jobs/"+done.ID+"/retry", url.Values{"anew": {"true"}, "why": {strings.Repeat("x", 501)}}); a.status != http.StatusUnprocessableEntity {
		t.Errorf("a reason of 501 characters: answer %d", a.status)
	}
	dead := ledger.add(tasks.Dead, func(j *tasks.Job) { j.Attempt = 3 })
	if page := get(h, "/jobs/"+dead.ID); !strings.Contains(page.body, "Run without kept steps") {
		t.Error("a dead job's page has no button to drop its steps")
	}
	post(h, "/jobs/"+dead.ID+"/retry", url.Values{"drop_steps": {"true"}})
	if now := ledger.job(dead.ID); now.State != tasks.Accepted || now.StepsSince.IsZero() {
		t.Errorf("%+v", now)
	}
}

func TestAllFinishedJobsShownAreEvaluatedAnewAtOnce(t *testing.T) {
	t.Parallel()
	ledger, h := offline(t, nil)
	one, two := ledger.add(tasks.Succeeded, nil), ledger.add(tasks.Succeeded, nil)
	const button = "Evaluate all 2 jobs shown anew"
	if strings.Contains(get(h, "/jobs").body, button) || !strings.Contains(get(h, "/jobs?state=succeeded").body, button) {
		t.Error("the button is not there, or also where no state was chosen")
	}
	a := post(h, "/jobs/retry", url.Values{"id": {one.ID, two.ID}, "anew": {"true"}, "why": {"new prompt"}, "back": {"/jobs?state=succeeded"}})
	if a.status != http.StatusSeeOther || !strings.Contains(a.header.Get("Location"), "done=retried&n=2") {
		t.Errorf("answer %d to %s", a.status, a.header.Get("Location"))
	}
	for _, j := range []tasks.Job{one, two} {
		if next, err := ledger.Find(t.Context(), j.Kind, j.UserID, j.ReportID); err != nil || next.Revision != 2 {
			t.Errorf("%+v, %v", next, err)
		}
	}
}

func TestAllDeadJobsShownRunAgainAtOnce(t *testing.T) {
	t.Parallel()
	ledger, h := offline(t, nil)
	one, two, gone := ledger.add(tasks.Dead, nil), ledger.add(tasks.Dead, nil), ledger.add(tasks.Running, nil)
	a := post(h, "/jobs/retry", url.Values{"id": {one.ID, two.ID, gone.ID}, "back": {"/jobs?state=dead"}})
	if a.status != http.StatusSeeOther || !strings.Contains(a.header.Get("Location"), "done=partly&n=2") {
		t.Errorf("answer %d to %s", a.status, a.header.Get("Location"))
	}
	if ledger.job(one.ID).State != tasks.Accepted || ledger.job(two.ID).State != tasks.Accepted || ledger.job(gone.ID).State != tasks.Running {
		t.Error("not the dead ones alone were run")
	}
	for _, ids := range [][]string{nil, {"x"}, {one.ID, "../evil"}} {
		if a := post(h, "/jobs/retry", url.Values{"id": ids}); a.status != http.StatusUnprocessableEntity {
			t.Errorf("%v: answer %d, want 422", ids, a.status)
		}
	}
}

func TestTheJobPageShowsEverythingAboutOneJob(t *testing.T) {
	t.Parallel()
	ledger, h := offline(t, nil)
	now := time.Now()
	job := ledger.add(tasks.Dead, func(j *tasks.Job) {
		j.UserID, j.ReportID, j.Revision, j.Charged = 9007199254740993, 9223372036854775807, 3, 1
		j.Progress = tasks.Progress{Done: 7, Kept: 5, Total: 9}
		j.Error = &tasks.Failure{Class: tasks.ClassNotAssessable, Message: "no key points"}
		j.AcceptedAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("x", 3600))
	})
	ledger.attempts[job.ID] = []tasks.Attempt{{
		Number: 1, Run: 1, Worker: "box.1.abc", StartedAt: now.Add(-90 * time.Second), FinishedAt: now, Outcome: "dead", Charged: true, Saved: 2,
		Error: &tasks.Failure{Class: tasks.ClassPanic, Message: "boom", Stack: "goroutine 7"},
	}}
	ledger.events[job.ID] = []tasks.Event{{At: now, From: tasks.Running, To: tasks.Dead, Who: "box.1.abc", Why: "no way", Build: "v1.2.3"}}
	a := get(h, "/jobs/"+job.ID)
	for _, want := range []string{
		"9007199254740993", "9223372036854775807", "7 of 9, 5 kept", tasks.ClassNotAssessable.Sentence("en", true), tasks.ClassNotAssessable.Sentence("zh", true),
		"no key points", "2026-01-02T02:04:05Z", "box.1.abc", "90.0 s", "boom", "<summary>Stack</summary>", "goroutine 7", "no way", "v1.2.3",
		`href="/asynqmon/queues/default/tasks/` + job.TaskID() + `"`, `href="/interviews/9223372036854775807"`, "Add key points", "<button>Run</button>",
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	for _, id := range []string{tasks.NewID(now), "nonsense", "x%2Fy"} {
		if a := get(h, "/jobs/"+id); a.status != http.StatusNotFound {
			t.Errorf("%s: answer %d, want 404", id, a.status)
		}
	}
}

func TestTheResultIsRenderedAsStored(t *testing.T) {
	t.Parallel()
	ledger, h := offline(t, nil)
	job := ledger.add(tasks.Succeeded, func(j *tasks.Job) {
		j.Judge = "rubric/1"
		j.Result = json.RawMessage(`{"schema":"report/1","overall":72,"band":"good","confidence":0.71,"needs_review":true,"language":"zh","summary":"整体良好",
			"answered":3,"total":4,"topics":[{"topic":"Go","score":84,"min":70,"max":98}],"strengths":[{"text":"调度清楚","dialog_ids":["d1"]}],"weaknesses":["缓存"],"limits":"只看要点",
			"dimensions":[{"key":"completeness","score":3,"max":4,"assessed":true,"reason":"七之五"},{"key":"depth","score":0,"max":4,"assessed":false}],
			"answers":[{"dialog_id":9007199254740993,"score":98,"band":"strong","points":[{"text":"运行时","weight":2,"status":"covered","credit":1,"evidence":{"quote":"由运行时调度"}},{"text":"栈","status":"missing","credit":0,"evidence":null}]},
			{"dialog_id":"d2","score":null,"flags":["no_reference"]}]}`)
	})
	a := get(h, "/jobs/"+job.ID)
	for _, want := range []string{
		"<b>72</b>", "b-good", "needs review", "confidence 0.71 · answered 3 of 4", "整体良好", "只看要点", `<th scope="row">Go</th>`, "调度清楚", "缓存", "completeness", "3 / 4", "七之五",
		"not assessed", "9007199254740993", "<b>98</b>", "由运行时调度", "covered", "missing", "not scored", "no_reference", "rubric/1", "Result as stored (JSON)", `lang="zh"`,
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	for _, result := range []string{`{"anything":{"of":["a","platform"]}}`, `"text"`, `[1,2]`, `{"overall":"many","answers":7}`} {
		own := ledger.add(tasks.Succeeded, func(j *tasks.Job) { j.Result = json.RawMessage(result) })
		if a := get(h, "/jobs/"+own.ID); a.status != http.StatusOK || !strings.Contains(a.body, "Result as stored (JSON)") {
			t.Errorf("%s: answer %d", result, a.status)
		}
	}
}

func TestAFailureThatIsOverIsCalledTheLastOne(t *testing.T) {
	t.Parallel()
	for _, state := range tasks.States() {
		ledger, h := offline(t, nil)
		job := ledger.add(state, func(j *tasks.Job) { j.Error = &tasks.Failure{Class: tasks.ClassTimeout, Message: "took 10 min"} })
		standing := state == tasks.Retrying || state == tasks.Held || state == tasks.Dead
		page := get(h, "/jobs/"+job.ID).body
		sentence := html.EscapeString(tasks.ClassTimeout.Sentence("zh", state == tasks.Dead))
		if strings.Contains(page, sentence) != standing || strings.Contains(page, "Last failure") == standing {
			t.Errorf("%s: sentence shown %t, called the last failure %t; want the sentence: %t", state, strings.Contains(page, sentence), strings.Contains(page, "Last failure"), standing)
		}
		if !strings.Contains(page, "timeout") || !strings.Contains(page, "took 10 min") {
			t.Errorf("%s: the page lacks what failed", state)
		}
		if list := get(h, "/jobs").body; strings.Contains(list, "last failure") == standing || !strings.Contains(list, "timeout") {
			t.Errorf("%s: the list calls it the last failure: %t", state, strings.Contains(list, "last failure"))
		}
	}
}
