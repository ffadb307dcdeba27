package dashboard_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evalq/dashboard"
	"evalq/tasks"
)

const interview = `{"user_id":9007199254740993,"report_id":5,"title":"一面","language":"zh","later":{"kept":1e400},"answers":[
	{"dialog_id":"d1","topic":"Go","question":"什么是协程？","answer":"轻量线程","extra":9007199254740993,"key_points":[{"id":"k7","text":"由运行时调度","weight":2,"aliases":["GMP"]}]},
	{"dialog_id":"d2","topic":"Redis","question":"Why fast?","answer":"memory"}]}`

func seen(tb testing.TB, h http.Handler) string {
	tb.Helper()
	found := regexp.MustCompile(`name="seen" value="([0-9a-f]{64})"`).FindStringSubmatch(get(h, "/interviews/5").body)
	if found == nil {
		tb.Fatal("the page has no form")
	}
	return found[1]
}

func TestKeyPointsAreEditedAndEverythingElseStays(t *testing.T) {
	t.Parallel()
	ledger, h := offline(t, nil)
	ledger.interviews[5] = []byte(interview)
	dead := ledger.add(tasks.Dead, func(j *tasks.Job) { j.ReportID = 5 })
	done := ledger.add(tasks.Succeeded, func(j *tasks.Job) { j.ReportID = 5 })
	page := get(h, "/interviews/5").body
	for _, want := range []string{"2 | 由运行时调度 | GMP", "nothing to measure against", dead.ID, "9007199254740993", "什么是协程？", "轻量线程"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	a := post(h, "/interviews/5", url.Values{
		"seen": {seen(t, h)}, "then": {"run"}, "reference-0": {"line one\r\nline two"}, "points-0": {"3 | 由运行时调度 | GMP; M:N \\| x\r\n\r\n栈很小"},
		"reference-1": {""}, "points-1": {"0.5 | in memory | RAM"},
	})
	if a.status != http.StatusSeeOther || a.header.Get("Location") != "/interviews/5?done=saved-run&n=1" {
		t.Fatalf("answer %d to %s: %s", a.status, a.header.Get("Location"), a.body)
	}
	want := `{"user_id":9007199254740993,"report_id":5,"title":"一面","language":"zh","later":{"kept":1e400},"answers":[
		{"dialog_id":"d1","topic":"Go","question":"什么是协程？","answer":"轻量线程","extra":9007199254740993,"reference":"line one\nline two",
		 "key_points":[{"id":"k7","text":"由运行时调度","weight":3,"aliases":["GMP","M:N | x"]},{"id":"p1","text":"栈很小","weight":1}]},
		{"dialog_id":"d2","topic":"Redis","question":"Why fast?","answer":"memory","key_points":[{"id":"p1","text":"in memory","weight":0.5,"aliases":["RAM"]}]}]}`
	if diff := cmp.Diff(exact(t, want), exact(t, string(ledger.interviews[5]))); diff != "" {
		t.Errorf("saved document (-want +got):\n%s", diff)
	}
	if ledger.job(dead.ID).State != tasks.Accepted || ledger.job(done.ID).State != tasks.Succeeded {
		t.Error("not exactly the dead job was run again")
	}
	entries, _ := ledger.AuditLog(t.Context(), 9)
	if len(entries) != 2 || entries[1].Action != "interview.edit" || entries[1].Target != "report 5" || entries[0].Action != "job.retry" {
		t.Errorf("audit log: %+v", entries)
	}
}

// exact decodes JSON without bending numbers.
func exact(tb testing.TB, doc string) (v any) {
	tb.Helper()
	dec := json.NewDecoder(strings.NewReader(doc))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		tb.Fatal(err)
	}
	return v
}

func TestAMistakeInKeyPointsIsNamedAndNothingIsLost(t *testing.T) {
	t.Parallel()
	ledger, h := offline(t, nil)
	ledger.interviews[5] = []byte(interview)
	for _, bad := range []string{"heavy | text", "0 | text", "-1 | text", "NaN | text", "1e99 | text", "1 | ", "1 | a | b | c"} {
		a := post(h, "/interviews/5", url.Values{"seen": {seen(t, h)}, "points-0": {"1 | fine\n" + bad}, "reference-1": {"typed and kept"}})
		if a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "line 2: ") || !strings.Contains(a.body, bad) || !strings.Contains(a.body, "typed and kept") {
			t.Errorf("%q: answer %d must name line 2 and keep what was typed", bad, a.status)
		}
	}
	if string(ledger.interviews[5]) != interview {
		t.Error("the interview was changed")
	}
}

func TestAnEditOfAnOlderDocumentIsRefused(t *testing.T) {
	t.Parallel()
	ledger, h := offline(t, nil)
	ledger.interviews[5] = []byte(interview)
	old := seen(t, h)
	ledger.interviews[5] = []byte(strings.Replace(interview, "轻量线程", "线程", 1))
	a := post(h, "/interviews/5", url.Values{"seen": {old}, "points-0": {"1 | mine"}})
	if a.status != http.StatusConflict || strings.Contains(string(ledger.interviews[5]), "mine") {
		t.Errorf("answer %d, want 409 and nothing saved", a.status)
	}
}

func TestTheSuggestedKeyPointsAreSavedInOneClick(t *testing.T) {
	t.Parallel()
	better := strings.Replace(interview, `"answer":"memory"`, `"answer":"memory","key_points":[{"id":"a","text":"memory","weight":1}]`, 1)
	ledger, h := offline(t, &dashboard.Config{Suggested: func(report int64) ([]byte, bool) { return []byte(better), report == 5 }})
	ledger.interviews[5] = []byte(interview)
	dead := ledger.add(tasks.Dead, func(j *tasks.Job) { j.ReportID = 5 })
	if a := get(h, "/interviews/5"); !strings.Contains(a.body, "Add the sample's key points") && !strings.Contains(a.body, "Add the sample&#39;s key points") {
		t.Error("the page lacks the button")
	}
	a := post(h, "/interviews/5/suggested", url.Values{"then": {"run"}})
	if a.status != http.StatusSeeOther || string(ledger.interviews[5]) != better || ledger.job(dead.ID).State != tasks.Accepted {
		t.Errorf("answer %d; saved %t; the job is %s", a.status, string(ledger.interviews[5]) == better, ledger.job(dead.ID).State)
	}
	if a := get(h, "/interviews/5"); strings.Contains(a.body, "/suggested") {
		t.Error("the button is still there when everything can be assessed")
	}
	if a := post(h, "/interviews/6/suggested", nil); a.status != http.StatusNotFound {
		t.Errorf("another report: answer %d, want 404", a.status)
	}
}

func TestTheJobsOfAReportAreWatchedUntilTheyAreFinished(t *testing.T) {
	t.Parallel()
	ledger, h := offline(t, nil)
	ledger.interviews[5] = []byte(interview)
	live := func() string {
		t.Helper()
		found := regexp.MustCompile(`<section id="live"[^>]*>`).FindString(get(h, "/interviews/5?done=saved-run&n=1").body)
		if !strings.Contains(found, `hx-get="/interviews/5"`) || !strings.Contains(found, "visibilitychange from:document") {
			t.Fatalf("the list of jobs is not live: %q", found)
		}
		return found
	}
	ledger.add(tasks.Succeeded, func(j *tasks.Job) { j.ReportID = 5 })
	if got := live(); !strings.Contains(got, "every 3s") {
		t.Errorf("with everything finished: %s", got)
	}
	ledger.add(tasks.Queued, func(j *tasks.Job) { j.ReportID = 5 })
	if got := live(); !strings.Contains(got, "every 1s") {
		t.Errorf("with an unfinished job: %s, want it asked for each second", got)
	}
}

func TestAReportWithoutAnInterviewIsToldSo(t *testing.T) {
	t.Parallel()
	ledger, h := offline(t, nil)
	ledger.add(tasks.Held, func(j *tasks.Job) { j.ReportID, j.Hold = 8, tasks.HoldInterviewMissing })
	if a := get(h, "/interviews/8"); a.status != http.StatusOK || !strings.Contains(a.body, "There is no interview") || !strings.Contains(a.body, "interview missing") {
		t.Errorf("answer %d", a.status)
	}
	for path, want := range map[string]int{"/interviews/9": 404, "/interviews/x": 404, "/interviews/0": 404, "/interviews/9223372036854775808": 404, "/interviews?report=": 422} {
		if a := get(h, path); a.status != want {
			t.Errorf("%s: answer %d, want %d", path, a.status, want)
		}
	}
	if a := get(h, "/interviews?report=9223372036854775807"); a.header.Get("Location") != "/interviews/9223372036854775807" {
		t.Errorf("search leads to %q", a.header.Get("Location"))
	}
	if a := post(h, "/interviews/8", url.Values{"seen": {""}}); a.status != http.StatusNotFound {
		t.Errorf("saving nothing: answer %d", a.status)
	}
}
