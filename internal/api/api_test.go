package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"evalq/tasks"
)

// world is a server with its ledger and its log.
type world struct {
	book *book
	url  string
	log  *syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func serve(t *testing.T, cfg Config, kinds ...tasks.Kind) world {
	t.Helper()
	w := world{book: newBook(), log: &syncBuffer{}}
	w.book.kinds = kinds
	cfg.Logger = slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	a, err := New(w.book, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	w.url = s.URL
	return w
}

type exchange struct {
	status int
	header http.Header
	body   []byte
}

// do makes one request. A body of the empty string sends none.
func (w world) do(t *testing.T, method, path, body string, header ...string) exchange {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, w.url+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return exchange{resp.StatusCode, resp.Header, data}
}

func (e exchange) decode(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal(e.body, into); err != nil {
		t.Fatalf("%v in %s", err, e.body)
	}
}

func (e exchange) want(t *testing.T, status int) exchange {
	t.Helper()
	if e.status != status {
		t.Fatalf("status %d, want %d: %s", e.status, status, e.body)
	}
	return e
}

func (e exchange) job(t *testing.T) Job {
	t.Helper()
	var j Job
	e.decode(t, &j)
	return j
}

// problem checks the form that every error has.
func (e exchange) problem(t *testing.T, status int) Problem {
	t.Helper()
	e.want(t, status)
	var p Problem
	e.decode(t, &p)
	if got := e.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type %q", got)
	}
	if p.Status != status || !strings.HasPrefix(p.Type, "urn:evalq:problem:") || p.Title == "" || p.Detail == "" {
		t.Errorf("incomplete problem: %s", e.body)
	}
	if want := "urn:evalq:request:" + e.header.Get("X-Request-ID"); p.Instance != want {
		t.Errorf("instance %q, want %q", p.Instance, want)
	}
	return p
}

const good = `{"kind":"evaluation_report","user_id":7,"report_id":42}`

func TestSubmitAnswersWithLocationAndThenWithTheSameJob(t *testing.T) {
	t.Parallel()
	w := serve(t, Config{Who: func(context.Context) string { return "anna" }})
	first := w.do(t, "POST", "/v1/evaluations", good).want(t, 202)
	j := first.job(t)
	if got := first.header.Get("Location"); got != "/v1/evaluations/"+j.ID || !tasks.ValidID(j.ID) {
		t.Errorf("location %q for job %q", got, j.ID)
	}
	again := w.do(t, "POST", "/v1/evaluations", good).want(t, 200)
	if diff := cmp.Diff(j, again.job(t)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"anna", "anna"}, w.book.whos); diff != "" {
		t.Error(diff)
	}
	if got := w.do(t, "GET", first.header.Get("Location"), "").want(t, 200).job(t); got.ID != j.ID {
		t.Errorf("location leads to %q", got.ID)
	}
}

func TestIdsKeepEveryDigitOnEveryPath(t *testing.T) {
	t.Parallel()
	w := serve(t, Config{})
	const user, report = "9223372036854775807", "9007199254740993" // the second is the first that a float64 cannot hold
	e := w.do(t, "POST", "/v1/evaluations", `{"kind":"topic_evaluation","user_id":`+user+`,"report_id":`+report+`}`).want(t, 202)
	paths := []string{
		e.header.Get("Location"),
		"/v1/evaluations?user_id=" + user + "&report_id=" + report,
		"/v1/find?kind=topic_evaluation&user_id=" + user + "&report_id=" + report,
		"/v1/reports/" + report + "?user_id=" + user,
	}
	for _, path := range paths {
		body := string(w.do(t, "GET", path, "").want(t, 200).body)
		if !strings.Contains(body, `"user_id":`+user) || !strings.Contains(body, `"report_id":`+report) {
			t.Errorf("%s lost digits: %s", path, body)
		}
	}
}

func TestSubmitPassesEveryWishOn(t *testing.T) {
	t.Parallel()
	w := serve(t, Config{}, "resume_parse")
	j := w.do(t, "POST", "/v1/evaluations",
		`{"kind":"resume_parse","user_id":1,"report_id":2,"priority":"low","run_at":"2030-01-31T08:00:00+08:00","anew":true,"data":{"big":12345678901234567890}}`).want(t, 202).job(t)
	if j.Priority != tasks.Low || !j.DueAt.Equal(time.Date(2030, 1, 31, 0, 0, 0, 0, time.UTC)) || string(j.Data) != `{"big":12345678901234567890}` {
		t.Errorf("%+v", j)
	}
}

func TestBatchAnswersEachRequestInItsPlace(t *testing.T) {
	t.Parallel()
	w := serve(t, Config{})
	body := `{"requests":[` + good + `,{"kind":"nope","user_id":0,"report_id":"1"},{"kind":"topic_evaluation","user_id":7,"report_id":42,"extra":1},` + good + `]}`
	var got BatchResults
	w.do(t, "POST", "/v1/evaluations:batch", body).want(t, 200).decode(t, &got)
	if len(got.Results) != 4 {
		t.Fatalf("%+v", got)
	}
	first, bad, unknown, again := got.Results[0], got.Results[1], got.Results[2], got.Results[3]
	if first.Job == nil || !*first.Created || again.Job == nil || *again.Created || first.Job.ID != again.Job.ID {
		t.Errorf("first %+v, again %+v", first, again)
	}
	if bad.Job != nil || bad.Created != nil || bad.Error == nil || bad.Error.Status != 422 || len(bad.Error.Errors) != 3 || bad.Error.Errors[0].Location != "body.requests[1].kind" {
		t.Errorf("bad %+v", bad.Error)
	}
	if unknown.Error == nil || unknown.Error.Status != 400 {
		t.Errorf("unknown field %+v", unknown.Error)
	}
	for _, body := range []string{`{"requests":[]}`, `{}`, `{"requests":{}}`, `{"requests":[` + strings.Repeat("{},", 1000) + `{}]}`} {
		p := w.do(t, "POST", "/v1/evaluations:batch", body).problem(t, 422)
		if p.Errors[0].Location != "body.requests" {
			t.Errorf("%+v", p)
		}
	}
}

func TestLongPollAnswersWhenTheJobFinishes(t *testing.T) {
	t.Parallel()
	w := serve(t, Config{})
	j := w.book.put(tasks.Job{Kind: tasks.KindEvaluationReport, UserID: 1, ReportID: 2, State: tasks.Running})
	answers := make(chan exchange, 1)
	go func() { answers <- w.do(t, "GET", "/v1/evaluations/"+j.ID+"?wait=60s", "") }()
	w.book.finish(j.ID, json.RawMessage(`{"overall":80}`))
	select {
	case e := <-answers:
		if got := e.want(t, 200).job(t); got.State != tasks.Succeeded || string(got.Result) != `{"overall":80}` || got.Judge != "offline/1" {
			t.Errorf("%+v", got)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("no answer")
	}
}

func TestLongPollIsCutToWhatTheServerAllows(t *testing.T) {
	t.Parallel()
	w := serve(t, Config{MaxWait: 10 * time.Millisecond})
	j := w.book.put(tasks.Job{State: tasks.Running})
	begin := time.Now()
	got := w.do(t, "GET", "/v1/evaluations/"+j.ID+"?wait=1h", "").want(t, 200).job(t)
	if got.State != tasks.Running || time.Since(begin) > 20*time.Second {
		t.Errorf("%s after %s", got.State, time.Since(begin))
	}
}

func TestAJobThatFailedHasASentenceForThePersonWhoWaits(t *testing.T) {
	t.Parallel()
	w := serve(t, Config{})
	for state, want := range map[tasks.State]bool{
		tasks.Dead: true, tasks.Retrying: true, tasks.Held: true, tasks.Succeeded: false,
		tasks.Accepted: false, tasks.Queued: false, tasks.Running: false, // taken up again since
	} {
		j := w.book.put(tasks.Job{State: state, Error: &tasks.Failure{Class: tasks.ClassNotAssessable, Message: "m"}})
		got := w.do(t, "GET", "/v1/evaluations/"+j.ID, "").want(t, 200).job(t)
		if (got.Sentence != nil) != want {
			t.Errorf("%s: sentence %+v", state, got.Sentence)
		}
		if want && (got.Sentence.En != tasks.ClassNotAssessable.Sentence("en", state == tasks.Dead) || got.Sentence.Zh == "") {
			t.Errorf("%s: sentence %+v", state, got.Sentence)
		}
	}
}

func TestARevivedJobSaysNothingOfItsOldFailure(t *testing.T) {
	t.Parallel()
	w := serve(t, Config{})
	w.book.put(tasks.Job{Kind: tasks.KindEvaluationReport, UserID: 7, ReportID: 42, Run: 1, State: tasks.Dead, Error: &tasks.Failure{Class: tasks.ClassNotAssessable}})
	if j := w.do(t, "POST", "/v1/evaluations", good).want(t, 202).job(t); j.Run != 2 || j.Sentence != nil {
		t.Errorf("run %d says %+v", j.Run, j.Sentence)
	}
}

func TestListGoesFromPageToPage(t *testing.T) {
	t.Parallel()
	w := serve(t, Config{})
	var want, got []string
	for i := range 5 {
		j := w.book.put(tasks.Job{Kind: tasks.KindEvaluationReport, UserID: 1, ReportID: int64(i + 1), State: tasks.Dead})
		want = append([]string{j.ID}, want...)
	}
	w.book.put(tasks.Job{Kind: tasks.KindEvaluationReport, UserID: 2, ReportID: 9, State: tasks.Queued})
	for cursor := ""; ; {
		var page JobPage
		w.do(t, "GET", "/v1/evaluations?user_id=1&state=dead&limit=2&cursor="+cursor, "").want(t, 200).decode(t, &page)
		for _, j := range page.Jobs {
			got = append(got, j.ID)
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if body := w.do(t, "GET", "/v1/evaluations?user_id=3", "").want(t, 200).body; !strings.Contains(string(body), `"jobs":[]`) {
		t.Errorf("an empty page is %s", body)
	}
}

func TestRetryAndCancelFollowTheState(t *testing.T) {
	t.Parallel()
	w := serve(t, Config{})
	dead := w.book.put(tasks.Job{State: tasks.Dead})
	running := w.book.put(tasks.Job{State: tasks.Running})
	done := w.book.put(tasks.Job{State: tasks.Succeeded})
	if j := w.do(t, "POST", "/v1/evaluations/"+dead.ID+"/retry", "").want(t, 200).job(t); j.State != tasks.Accepted {
		t.Errorf("retried: %s", j.State)
	}
	if j := w.do(t, "POST", "/v1/evaluations/"+running.ID+"/cancel", `{"why":"not needed"}`).want(t, 202).job(t); !j.CancelAsk {
		t.Error("a running job was not asked to stop")
	}
	if j := w.do(t, "POST", "/v1/evaluations/"+dead.ID+"/cancel", "").want(t, 200).job(t); j.State != tasks.Cancelled {
		t.Errorf("cancelled: %s", j.State)
	}
	for _, verb := range []string{"retry", "cancel"} {
		p := w.do(t, "POST", "/v1/evaluations/"+done.ID+"/"+verb, "").problem(t, 409)
		if !strings.Contains(p.Detail, "succeeded") {
			t.Errorf("%s: detail %q does not name the state", verb, p.Detail)
		}
		w.do(t, "POST", "/v1/evaluations/"+tasks.NewID(time.Now())+"/"+verb, "").problem(t, 404)
	}
}

func TestAJobThatHasSucceededIsEvaluatedAnewAsItsNextRevision(t *testing.T) {
	t.Parallel()
	w := serve(t, Config{})
	done := w.book.put(tasks.Job{Kind: tasks.KindEvaluationReport, UserID: 7, ReportID: 42, State: tasks.Succeeded})
	if p := w.do(t, "POST", "/v1/evaluations/"+done.ID+"/retry", "").problem(t, 409); !strings.Contains(p.Detail, "anew") {
		t.Errorf("a plain retry does not say how to evaluate again: %q", p.Detail)
	}
	e := w.do(t, "POST", "/v1/evaluations/"+done.ID+"/retry", `{"anew":true,"why":"the judge has changed"}`).want(t, 202)
	next := e.job(t)
	if next.ID == done.ID || next.Revision != 2 || next.StepsSince.IsZero() || e.header.Get("Location") != "/v1/evaluations/"+next.ID {
		t.Errorf("at %s: %+v", e.header.Get("Location"), next)
	}
	if again := w.do(t, "POST", "/v1/evaluations/"+done.ID+"/retry", `{"anew":true}`).want(t, 202).job(t); again.ID != next.ID {
		t.Errorf("asked twice there are two: %+v", again)
	}
	if diff := cmp.Diff([]string{"the judge has changed"}, w.book.whys); diff != "" {
		t.Error(diff)
	}
	running := w.book.put(tasks.Job{Kind: tasks.KindTopicEvaluation, UserID: 7, ReportID: 42, State: tasks.Running})
	if p := w.do(t, "POST", "/v1/evaluations/"+running.ID+"/retry", `{"anew":true}`).problem(t, 409); !strings.Contains(p.Detail, "running") || !strings.Contains(p.Detail, running.ID) {
		t.Errorf("detail %q", p.Detail)
	}
	for _, body := range []string{`{"anew":1}`, `{"drop_steps":"yes"}`} {
		w.do(t, "POST", "/v1/evaluations/"+done.ID+"/retry", body).problem(t, 422)
	}
	w.do(t, "POST", "/v1/evaluations/"+running.ID+"/cancel", `{"anew":true}`).problem(t, 400)
}

func TestAttemptsAndEventsOfAJobAreListed(t *testing.T) {
	t.Parallel()
	w := serve(t, Config{})
	j := w.book.put(tasks.Job{State: tasks.Dead, Attempt: 2})
	var attempts AttemptList
	w.do(t, "GET", "/v1/evaluations/"+j.ID+"/attempts", "").want(t, 200).decode(t, &attempts)
	var events EventList
	w.do(t, "GET", "/v1/evaluations/"+j.ID+"/events", "").want(t, 200).decode(t, &events)
	if len(attempts.Attempts) != 2 || len(events.Events) != 1 {
		t.Errorf("%+v %+v", attempts, events)
	}
	fresh := w.book.put(tasks.Job{State: tasks.Accepted})
	if body := w.do(t, "GET", "/v1/evaluations/"+fresh.ID+"/attempts", "").want(t, 200).body; !strings.Contains(string(body), `"attempts":[]`) {
		t.Errorf("no attempts: %s", body)
	}
}

func TestErrorsOfTheLedgerHaveOneAnswerEach(t *testing.T) {
	t.Parallel()
	secret := errors.New("disk /var/lib/secret is on fire")
	for _, c := range []struct {
		err    error
		status int
		kind   string
		retry  bool
	}{
		{errors.Join(tasks.ErrUnavailable, secret), 503, "unavailable", true},
		{errors.Join(tasks.ErrOutcomeUnknown, secret), 503, "outcome-unknown", true},
		{tasks.NewError(tasks.ClassStorage, secret), 503, "unavailable", true},
		{context.DeadlineExceeded, 503, "unavailable", true},
		{tasks.ErrConflict, 409, "conflict", false},
		{&tasks.InvalidError{Err: errors.New("user_id: no")}, 422, "invalid", false},
		{secret, 500, "internal", false},
	} {
		w := serve(t, Config{})
		w.book.fail = c.err
		e := w.do(t, "POST", "/v1/evaluations", good)
		p := e.problem(t, c.status)
		if p.Type != "urn:evalq:problem:"+c.kind || (e.header.Get("Retry-After") != "") != c.retry {
			t.Errorf("%v: %+v, Retry-After %q", c.err, p, e.header.Get("Retry-After"))
		}
		if strings.Contains(string(e.body), "secret") {
			t.Errorf("internals in %s", e.body)
		}
		if c.status >= 500 && c.err != context.DeadlineExceeded && !strings.Contains(w.log.String(), "secret") {
			t.Errorf("%v: the cause is not in the log", c.err)
		}
	}
}

func TestReadinessNamesWhatIsMissingAndLivenessDoesNotCare(t *testing.T) {
	t.Parallel()
	down := errors.New("redis at 10.0.0.1 is away")
	w := serve(t, Config{Checks: map[string]func(context.Context) error{"redis": func(context.Context) error { return down }}})
	var got Readiness
	e := w.do(t, "GET", "/readyz", "").want(t, 503)
	e.decode(t, &got)
	if !got.Checks["ledger"].OK || got.Checks["redis"].OK || strings.Contains(string(e.body), "10.0.0.1") {
		t.Errorf("%s", e.body)
	}
	w.do(t, "GET", "/healthz", "").want(t, 200)
	if ready := serve(t, Config{}); ready.do(t, "GET", "/readyz", "").status != 200 {
		t.Error("not ready although nothing is missing")
	}
}

func TestTheLogHasOneLineARequestAndNothingPrivate(t *testing.T) {
	t.Parallel()
	w := serve(t, Config{})
	e := w.do(t, "GET", "/v1/evaluations?kind=evaluation_report&class=private_class", "", "Authorization", "Bearer private-token", "X-Request-ID", "abc.1")
	w.do(t, "POST", "/v1/evaluations", `{"kind":"private_kind","user_id":1,"report_id":2}`)
	if got := e.header.Get("X-Request-ID"); got != "abc.1" {
		t.Errorf("request id %q", got)
	}
	if e := w.do(t, "GET", "/healthz", "", "X-Request-ID", "a b"); e.header.Get("X-Request-ID") == "a b" || e.header.Get("X-Request-ID") == "" {
		t.Error("a request id of the wrong form was taken over")
	}
	lines := strings.Count(w.log.String(), "msg=request ")
	if lines != 3 || strings.Contains(w.log.String(), "private") || !strings.Contains(w.log.String(), "request_id=abc.1") {
		t.Errorf("log:\n%s", w.log)
	}
}

func TestAPanicIsAnsweredAndLogged(t *testing.T) {
	t.Parallel()
	w := serve(t, Config{Who: func(context.Context) string { panic("who is it") }})
	w.do(t, "POST", "/v1/evaluations", good).problem(t, 500)
	if !strings.Contains(w.log.String(), "who is it") {
		t.Errorf("log:\n%s", w.log)
	}
}

func TestConfigIsValidatedByField(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]Config{
		"MaxWait": {MaxWait: -1},
	} {
		if _, err := New(newBook(), &cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := New(nil, nil); err == nil {
		t.Error("no ledger was accepted")
	}
}
