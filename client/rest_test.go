package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"evalq/client"
	"evalq/tasks"
)

// serve answers with h and gives a client of it.
func serve(t *testing.T, h http.HandlerFunc, cfg *client.Config) *client.Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return open(t, s.URL, cfg)
}

func open(t *testing.T, url string, cfg *client.Config) *client.Client {
	t.Helper()
	c, err := client.Open(t.Context(), url, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func problem(w http.ResponseWriter, status int, kind, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"type":"urn:evalq:problem:%s","title":"t","status":%d,"detail":%q,"instance":"urn:evalq:request:r1"}`, kind, status, detail)
}

const jobJSON = `{"id":"0123456789abcdefghjkmnpq","kind":"evaluation_report","user_id":9223372036854775807,"report_id":9007199254740993,"state":"succeeded","result":{"n":12345678901234567890},"unknown":1}`

func TestSubmitSendsEveryWishAndKeepsEveryDigit(t *testing.T) {
	t.Parallel()
	var got string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = r.Method + " " + r.URL.Path + " " + r.Header.Get("Authorization") + " " + r.Header.Get("Content-Type") + " " + string(body)
		fmt.Fprint(w, jobJSON)
	}, &client.Config{Token: "secret-token"})
	at := time.Date(2030, 1, 31, 8, 0, 0, 0, time.UTC)
	job, err := c.Submit(t.Context(), tasks.EvaluationReport{UserID: 9223372036854775807, ReportID: 9007199254740993},
		client.WithPriority(tasks.Critical), client.At(at), client.Anew())
	if err != nil {
		t.Fatal(err)
	}
	want := `POST /v1/evaluations Bearer secret-token application/json {"kind":"evaluation_report","user_id":9223372036854775807,"report_id":9007199254740993,"priority":"critical","run_at":"2030-01-31T08:00:00Z","anew":true}`
	if got != want {
		t.Errorf("sent %s\nwant %s", got, want)
	}
	if job.UserID != 9223372036854775807 || job.ReportID != 9007199254740993 || string(job.Result) != `{"n":12345678901234567890}` {
		t.Errorf("%+v", job)
	}
}

func TestInvalidInputIsRefusedBeforeItIsSent(t *testing.T) {
	t.Parallel()
	c := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("something was sent") }, nil)
	for _, p := range []tasks.Payload{nil, tasks.EvaluationReport{UserID: 0, ReportID: 1}, tasks.Custom{Name: "Bad", UserID: 1, ReportID: 1}} {
		_, err := c.Submit(t.Context(), p)
		var invalid *tasks.InvalidError
		if !errors.As(err, &invalid) {
			t.Errorf("%v: %v", p, err)
		}
	}
}

func TestAnswersOfTheServerBecomeTheErrorsOfTheLedger(t *testing.T) {
	t.Parallel()
	isInvalid := func(err error) bool { var e *tasks.InvalidError; return errors.As(err, &e) }
	is := func(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }
	for _, row := range []struct {
		status int
		kind   string
		match  func(error) bool
	}{
		{400, "malformed", isInvalid}, {413, "too-large", isInvalid}, {415, "unsupported-media-type", isInvalid}, {422, "invalid", isInvalid},
		{401, "unauthenticated", is(client.ErrUnauthorized)}, {403, "forbidden", is(client.ErrUnauthorized)},
		{404, "not-found", is(tasks.ErrNotFound)}, {409, "conflict", is(tasks.ErrConflict)},
		{503, "unavailable", is(tasks.ErrUnavailable)}, {503, "outcome-unknown", is(tasks.ErrUnavailable)}, // of a read: it has done nothing
		{500, "internal", func(err error) bool { return strings.Contains(err.Error(), "urn:evalq:request:r1") }},
	} {
		c := serve(t, func(w http.ResponseWriter, r *http.Request) { problem(w, row.status, row.kind, "what is wrong") },
			&client.Config{Timeout: 50 * time.Millisecond, Token: "secret-token"})
		_, err := c.Get(t.Context(), "x")
		if row.status == 404 && err.Error() != "client: get: what is wrong" {
			t.Errorf("said twice that it is not found: %v", err)
		}
		if !row.match(err) || !strings.Contains(err.Error(), "what is wrong") || strings.Contains(err.Error(), "secret-token") {
			t.Errorf("%d %s: %v", row.status, row.kind, err)
		}
	}
}

func TestARequestIsRepeatedUntilTheServerIsBack(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch calls.Add(1) {
		case 1:
			problem(w, 503, "unavailable", "restarting")
		case 2:
			panic(http.ErrAbortHandler) // the connection breaks
		default:
			fmt.Fprint(w, jobJSON)
		}
	}, nil)
	if _, err := c.Submit(t.Context(), tasks.EvaluationReport{UserID: 1, ReportID: 2}); err != nil || calls.Load() != 3 {
		t.Errorf("%v after %d calls", err, calls.Load())
	}
}

func TestARetryWhoseOutcomeIsUnknownIsNotRepeated(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	c := serve(t, func(http.ResponseWriter, *http.Request) { calls.Add(1); panic(http.ErrAbortHandler) }, nil)
	_, err := c.Retry(t.Context(), "x", "")
	if !errors.Is(err, tasks.ErrOutcomeUnknown) || calls.Load() != 1 {
		t.Errorf("%v after %d calls", err, calls.Load())
	}
}

func TestWhatATryMayHaveDoneStaysUnknownWhenTheServerIsGone(t *testing.T) {
	t.Parallel()
	var s *httptest.Server
	s = httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		s.Listener.Close() // whoever comes next cannot connect
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(s.Close)
	c := open(t, s.URL, &client.Config{Timeout: 300 * time.Millisecond})
	_, err := c.Submit(t.Context(), tasks.EvaluationReport{UserID: 1, ReportID: 2})
	if !errors.Is(err, tasks.ErrOutcomeUnknown) || errors.Is(err, tasks.ErrUnavailable) || !strings.Contains(err.Error(), "refused") {
		t.Error(err)
	}
	if _, err := c.Get(t.Context(), "x"); !errors.Is(err, tasks.ErrUnavailable) {
		t.Error(err)
	}
}

func TestAServerThatCannotBeReachedIsUnavailableAfterTheTimeout(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	c := open(t, "http://"+address, &client.Config{Timeout: 200 * time.Millisecond})
	_, err = c.Submit(t.Context(), tasks.EvaluationReport{UserID: 1, ReportID: 2})
	if !errors.Is(err, tasks.ErrUnavailable) || !strings.Contains(err.Error(), address) {
		t.Error(err)
	}
}

func TestFailFastGivesAReadUpAtOnceWhenNothingListens(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	c := open(t, "http://"+l.Addr().String(), &client.Config{Timeout: time.Minute, FailFast: true})
	begin := time.Now()
	_, err = c.List(t.Context(), tasks.Filter{})
	if took := time.Since(begin); !errors.Is(err, tasks.ErrUnavailable) || took > 20*time.Second {
		t.Errorf("%v after %s", err, took)
	}
}

func TestFailFastStillRepeatsWhatIsSubmittedAndWhatAServerPutsOff(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	answer := func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) == 1 {
			problem(w, 503, "unavailable", "restarting")
			return
		}
		fmt.Fprint(w, jobJSON)
	}
	c := serve(t, answer, &client.Config{FailFast: true})
	if _, err := c.Get(t.Context(), "x"); err != nil || calls.Load() != 2 {
		t.Errorf("%v after %d calls", err, calls.Load())
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	var repeated atomic.Int32
	c = open(t, "http://"+address, &client.Config{FailFast: true, Timeout: 500 * time.Millisecond, Logger: slog.New(counter{slog.DiscardHandler, &repeated})})
	if _, err := c.Submit(t.Context(), tasks.EvaluationReport{UserID: 1, ReportID: 2}); !errors.Is(err, tasks.ErrUnavailable) || repeated.Load() < 2 {
		t.Errorf("%v after %d repetitions", err, repeated.Load())
	}
}

// counter counts what is logged.
type counter struct {
	slog.Handler
	n *atomic.Int32
}

func (c counter) Enabled(context.Context, slog.Level) bool  { return true }
func (c counter) Handle(context.Context, slog.Record) error { c.n.Add(1); return nil }

func TestACallEndsWithItsContext(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) { problem(w, 503, "unavailable", "no") }, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Get(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestWaitOutlivesBrokenConnectionsAndEndsWhenTheJobHas(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("wait") == "" {
			t.Errorf("not a long poll: %s", r.URL)
		}
		switch calls.Add(1) {
		case 1:
			panic(http.ErrAbortHandler)
		case 2:
			problem(w, 503, "unavailable", "restarting")
		case 3:
			fmt.Fprint(w, strings.Replace(jobJSON, "succeeded", "running", 1))
		default:
			fmt.Fprint(w, strings.Replace(jobJSON, "succeeded", "dead", 1))
		}
	}, nil)
	job, err := c.Wait(t.Context(), "0123456789abcdefghjkmnpq")
	if err != nil || job.State != tasks.Dead || calls.Load() != 4 {
		t.Errorf("%s, %v after %d calls", job.State, err, calls.Load())
	}
}

func TestWaitEndsWithItsContextAndGivesTheJobAsItWas(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var calls atomic.Int32
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) > 1 {
			cancel()
			<-r.Context().Done()
			return
		}
		fmt.Fprint(w, strings.Replace(jobJSON, "succeeded", "running", 1))
	}, nil)
	job, err := c.Wait(ctx, "x")
	if !errors.Is(err, context.Canceled) || job.State != tasks.Running {
		t.Errorf("%s %v", job.State, err)
	}
}

func TestWaitDoesNotWaitForWhatIsNotThere(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]error{404: tasks.ErrNotFound, 401: client.ErrUnauthorized} {
		c := serve(t, func(w http.ResponseWriter, r *http.Request) { problem(w, status, "k", "no") }, nil)
		if _, err := c.Wait(t.Context(), "x"); !errors.Is(err, want) {
			t.Errorf("%d: %v", status, err)
		}
	}
}

func TestSubmitManyIsCutIntoPiecesAndAnsweredInOrder(t *testing.T) {
	t.Parallel()
	var sizes []int
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Requests []struct {
				ReportID int64 `json:"report_id"`
			} `json:"requests"`
		}
		data, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(data, &body); err != nil || len(data) > 1<<20 {
			t.Errorf("%d bytes: %v", len(data), err)
		}
		sizes = append(sizes, len(body.Requests))
		results := make([]map[string]any, len(body.Requests))
		for i, q := range body.Requests {
			results[i] = map[string]any{"job": map[string]any{"id": fmt.Sprint("j", q.ReportID), "report_id": q.ReportID}, "created": true}
			if q.ReportID == 3 {
				results[i] = map[string]any{"error": map[string]any{"status": 422, "detail": "kind: unknown"}}
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"results": results})
	}, nil)
	var requests []tasks.Request
	for i := range 1500 {
		requests = append(requests, tasks.Request{Payload: tasks.TopicEvaluation{UserID: 1, ReportID: int64(i)}}) // the first is invalid
	}
	out, err := c.SubmitMany(t.Context(), requests)
	if err != nil || len(out) != 1500 {
		t.Fatal(err, len(out))
	}
	if diff := cmp.Diff([]int{1000, 499}, sizes); diff != "" {
		t.Error(diff)
	}
	for i, a := range out {
		var invalid *tasks.InvalidError
		if (i == 0 || i == 3) != errors.As(a.Err, &invalid) || a.Err == nil && (a.Job.ReportID != int64(i) || !a.Created) {
			t.Fatalf("%d: %+v", i, a)
		}
	}
	big := tasks.Custom{Name: "big", UserID: 1, ReportID: 1, Data: json.RawMessage(`"` + strings.Repeat("x", 200<<10) + `"`)}
	sizes = nil
	if _, err := c.SubmitMany(t.Context(), []tasks.Request{{Payload: big}, {Payload: big}, {Payload: big}, {Payload: big}, {Payload: big}, {Payload: big}}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{5, 1}, sizes); diff != "" {
		t.Error(diff)
	}
}

func TestSubmitManySaysWhichRequestsWereNotSent(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) { problem(w, 401, "unauthenticated", "sign in") }, nil)
	out, err := c.SubmitMany(t.Context(), []tasks.Request{{Payload: tasks.TopicEvaluation{UserID: 1, ReportID: 1}}, {}})
	var invalid *tasks.InvalidError
	if !errors.Is(err, client.ErrUnauthorized) || !errors.Is(out[0].Err, client.ErrUnauthorized) || !errors.As(out[1].Err, &invalid) {
		t.Errorf("%v %+v", err, out)
	}
}

func TestEachReadingMethodAsksForItsOwn(t *testing.T) {
	t.Parallel()
	var got []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
		if r.Method == http.MethodPut {
			fmt.Fprint(w, `{"changed":true}`)
			return
		}
		fmt.Fprint(w, `{"attempts":[{"number":1}],"events":[{"to":"accepted"}]}`)
	}, nil)
	ctx := t.Context()
	var errs []error
	note := func(err error) { errs = append(errs, err) }
	_, err := c.Find(ctx, tasks.KindTopicEvaluation, 1, 9223372036854775807)
	note(err)
	_, err = c.List(ctx, tasks.Filter{State: tasks.Dead, UserID: 7, Class: tasks.ClassTimeout, Limit: 1000})
	note(err)
	_, err = c.Cancel(ctx, "a/b", "no need")
	note(err)
	_, err = c.Retry(ctx, "x", "")
	note(err)
	attempts, err := c.Attempts(ctx, "x")
	note(err)
	events, err := c.Events(ctx, "x")
	note(err)
	changed, err := c.PutInterview(ctx, 9007199254740993, json.RawMessage(`{"user_id":9007199254740993}`))
	note(err)
	report, err := c.Report(ctx, 5)
	note(err)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"GET /v1/find?kind=topic_evaluation&report_id=9223372036854775807&user_id=1",
		"GET /v1/evaluations?class=timeout&limit=500&state=dead&user_id=7",
		`POST /v1/evaluations/a%2Fb/cancel {"why":"no need"}`,
		"POST /v1/evaluations/x/retry",
		"GET /v1/evaluations/x/attempts",
		"GET /v1/evaluations/x/events",
		`PUT /v1/interviews/9007199254740993 {"user_id":9007199254740993}`,
		"GET /v1/reports/5",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(attempts) != 1 || len(events) != 1 || !changed || len(report) == 0 {
		t.Errorf("%v %v %v %s", attempts, events, changed, report)
	}
}

func TestAllGoesThroughThePagesAndStopsWhenTold(t *testing.T) {
	t.Parallel()
	pages := 0
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		pages++
		switch r.URL.Query().Get("cursor") {
		case "":
			fmt.Fprint(w, `{"jobs":[{"id":"a"},{"id":"b"}],"next":"p2"}`)
		case "p2":
			fmt.Fprint(w, `{"jobs":[{"id":"c"}],"next":"p3"}`)
		default:
			problem(w, 422, "invalid", "cursor: no")
		}
	}, nil)
	var ids []string
	var last error
	for j, err := range c.All(t.Context(), tasks.Filter{}) {
		if last = err; err == nil {
			ids = append(ids, j.ID)
		}
	}
	var invalid *tasks.InvalidError
	if diff := cmp.Diff([]string{"a", "b", "c"}, ids); diff != "" || !errors.As(last, &invalid) {
		t.Error(diff, last)
	}
	pages = 0
	for range c.All(t.Context(), tasks.Filter{}) {
		break
	}
	if pages != 1 {
		t.Errorf("%d pages read", pages)
	}
}

func TestAnAnswerThatIsNotEvalqsIsSaidSo(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<html>hello</html>") }, nil)
	if _, err := c.Get(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "is the URL right?") {
		t.Error(err)
	}
	moved := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "https://elsewhere.example/", 301) }, nil)
	if _, err := moved.Submit(t.Context(), tasks.TopicEvaluation{UserID: 1, ReportID: 1}); err == nil || !strings.Contains(err.Error(), "redirection") {
		t.Error(err)
	}
}

func TestOpenSaysWhatIsWrongWithAURLAndNeverQuotesASecret(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"":                                   "must begin with",
		"127.0.0.1:8080":                     "must begin with",
		"http://":                            "no host",
		"http://user:s3cret@host":            "Config.Token",
		"http://s3cret:%zz@host":             "cannot be read",
		"http://host/?key=s3cret":            "?",
		"postgres://u:s3cret@127.0.0.1:1/db": "127.0.0.1",
		"POSTGRES://u:s3cret@127.0.0.1:1/db": "127.0.0.1",
		"postgresql://u:s3cret@host:p/db":    "write it like postgres://",
		"mysql://u:s3cret@127.0.0.1:1/db":    "127.0.0.1:1",
		"mysql://u:s3cret@host:p/db":         "write it like mysql://",
		"mysql://u:s3cret@host":              "write it like mysql://",
		"sqlite:///s3cret/evalq.db":          "http:// URL",
		"ftp://u:s3cret@host":                "not known",
		"redis://u:s3cret@host:port/":        "port",
		"redis://u:s3cret@127.0.0.1:1/":      "127.0.0.1:1",
		"unix:///no/such/socket":             "/no/such/socket",
		"rediss://:s3cret@127.0.0.1:1/99":    "127.0.0.1:1",
	} {
		c, err := client.Open(t.Context(), url, nil)
		if err == nil {
			c.Close()
			t.Errorf("%s was opened", url)
			continue
		}
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, cfg := range []client.Config{{Timeout: -1}, {Token: "a\nb"}, {Name: "a\nb"}, {Name: strings.Repeat("é", 65)}} {
		if _, err := client.Open(t.Context(), "http://host", &cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}
