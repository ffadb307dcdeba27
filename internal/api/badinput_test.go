package api

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"evalq/tasks"
)

// Each row is one exchange: what is sent, the status, and a word that the
// answer must have so that the caller knows what to correct.
func TestBadInputGetsAClearError(t *testing.T) {
	t.Parallel()
	const submit, interview = "/v1/evaluations", "/v1/interviews/42"
	noJob := "/v1/evaluations/" + tasks.NewID(time.Now())
	body := func(user, report, more string) string {
		return fmt.Sprintf(`{"kind":"evaluation_report","user_id":%s,"report_id":%s%s}`, user, report, more)
	}
	for _, c := range []struct {
		name         string
		method, path string
		body         string
		header       []string
		status       int
		says         string
	}{
		{"unknown kind", "POST", submit, `{"kind":"resume_parse","user_id":1,"report_id":2}`, nil, 422, "topic_evaluation"},
		{"no kind", "POST", submit, `{"user_id":1,"report_id":2}`, nil, 422, "kind: missing"},
		{"kind is a number", "POST", submit, `{"kind":1,"user_id":1,"report_id":2}`, nil, 422, "kind"},
		{"kind in capitals", "POST", submit, `{"kind":"EVALUATION_REPORT","user_id":1,"report_id":2}`, nil, 422, "kind"},
		{"id zero", "POST", submit, body("0", "2", ""), nil, 422, "body.user_id"},
		{"id negative", "POST", submit, body("-1", "2", ""), nil, 422, "body.user_id"},
		{"id fractional", "POST", submit, body("1", "2.5", ""), nil, 422, "body.report_id"},
		{"id fractional in form", "POST", submit, body("1", "2.0", ""), nil, 422, "body.report_id"},
		{"id with exponent", "POST", submit, body("1", "1e3", ""), nil, 422, "body.report_id"},
		{"id is a string", "POST", submit, body(`"42"`, "2", ""), nil, 422, "body.user_id"},
		{"id above the largest", "POST", submit, body("1", "9223372036854775808", ""), nil, 422, "body.report_id"},
		{"id missing", "POST", submit, `{"kind":"evaluation_report","user_id":1}`, nil, 422, "report_id: missing"},
		{"id null", "POST", submit, body("null", "2", ""), nil, 422, "user_id: missing"},
		{"unknown priority", "POST", submit, body("1", "2", `,"priority":"urgent"`), nil, 422, "body.priority"},
		{"run_at is no time", "POST", submit, body("1", "2", `,"run_at":"tomorrow"`), nil, 422, "body.run_at"},
		{"run_at far away", "POST", submit, body("1", "2", `,"run_at":"9030-01-01T00:00:00Z"`), nil, 422, "body.run_at"},
		{"data that is too large", "POST", submit, `{"kind":"own","user_id":1,"report_id":2,"data":"` + strings.Repeat("x", tasks.MaxData) + `"}`, nil, 422, "body.data"},
		{"anew is a string", "POST", submit, body("1", "2", `,"anew":"yes"`), nil, 422, "body.anew"},
		{"data for a built-in kind", "POST", submit, body("1", "2", `,"data":{}`), nil, 422, "body.data"},
		{"unknown field", "POST", submit, body("1", "2", `,"reprot":1`), nil, 400, "reprot"},
		{"field in other case", "POST", submit, `{"Kind":"evaluation_report","user_id":1,"report_id":2}`, nil, 400, "Kind"},
		{"duplicate field", "POST", submit, body("1", "2", `,"user_id":3`), nil, 400, "given twice"},
		{"NUL in a string", "POST", submit, `{"kind":"a\u0000b","user_id":1,"report_id":2}`, nil, 400, "NUL"},
		{"half of a surrogate pair", "POST", submit, body("1", "2", `,"priority":"\ud800"`), nil, 400, "surrogate"},
		{"compressed", "POST", submit, good, []string{"Content-Encoding", "gzip"}, 415, "Content-Encoding"},
		{"compressed interview", "PUT", interview, `{"user_id":7,"answers":[]}`, []string{"Content-Encoding", "br"}, 415, "Content-Encoding"},
		{"another charset", "POST", submit, good, []string{"Content-Type", "application/json; charset=gbk"}, 415, "UTF-8"},
		{"not JSON", "POST", submit, `kind=evaluation_report`, nil, 400, "not JSON"},
		{"cut short", "POST", submit, `{"kind":"evalu`, nil, 400, "too early"},
		{"two values", "POST", submit, good + good, nil, 400, "after the value"},
		{"an array", "POST", submit, `[]`, nil, 400, "object"},
		{"null", "POST", submit, `null`, nil, 400, "object"},
		{"not UTF-8", "POST", submit, "{\"kind\":\"\xff\"}", nil, 400, "UTF-8"},
		{"too large", "POST", submit, body("1", "2", `,"data":"`+strings.Repeat("x", 1<<20)+`"`), nil, 413, "1 MiB"},
		{"form", "POST", submit, good, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "Content-Type"},
		{"text", "POST", submit, good, []string{"Content-Type", "text/plain"}, 415, "application/json"},
		{"no content type", "POST", submit, good, []string{"Content-Type", ""}, 415, "application/json"},
		{"another site's page", "POST", submit, good, []string{"Origin", "https://evil.example"}, 403, "another site"},
		{"another site's page by its marker", "POST", noJob + "/cancel", "", []string{"Sec-Fetch-Site", "cross-site"}, 403, "another site"},

		{"interview too large", "PUT", interview, `{"title":"` + strings.Repeat("x", 1<<20) + `"}`, nil, 413, "1 MiB"},
		{"interview of another id", "PUT", interview, `{"user_id":7,"report_id":43,"answers":[]}`, nil, 422, "body.report_id"},
		{"interview with a string id", "PUT", interview, `{"user_id":7,"report_id":"42","answers":[]}`, nil, 422, "body.report_id"},
		{"interview without user", "PUT", interview, `{"answers":[]}`, nil, 422, "user_id"},
		{"interview with an unknown field", "PUT", interview, `{"user_id":7,"anwsers":[]}`, nil, 400, "anwsers"},
		{"interview with an unknown inner field", "PUT", interview, `{"user_id":7,"answers":[{"questoin":"x"}]}`, nil, 400, "answers[0]"},
		{"interview with an unknown field of a key point", "PUT", interview, `{"user_id":7,"answers":[{"key_points":[{"weigth":1}]}]}`, nil, 400, "weigth"},
		{"interview with NUL", "PUT", interview, `{"user_id":7,"title":"a\u0000"}`, nil, 400, "NUL"},
		{"interview without the field answers", "PUT", interview, `{"user_id":7}`, nil, 422, "body.answers"},
		{"interview with answers null", "PUT", interview, `{"user_id":7,"answers":null}`, nil, 422, "body.answers"},
		{"interview with a wrong answer", "PUT", interview, `{"user_id":7,"answers":[{"question":""}]}`, nil, 422, "body.answers[0].question"},
		{"interview that is no JSON", "PUT", interview, `hello`, nil, 400, "not JSON"},
		{"interview in a bad place", "PUT", "/v1/interviews/0", `{"user_id":7,"answers":[]}`, nil, 422, "path.report_id"},
		{"interview at a fraction", "GET", "/v1/interviews/1.5", "", nil, 422, "path.report_id"},
		{"interview that is not there", "GET", "/v1/interviews/9", "", nil, 404, "no interview"},

		{"unknown filter", "GET", submit + "?stat=dead", "", nil, 422, "query.stat"},
		{"filter given twice", "GET", submit + "?state=dead&state=queued", "", nil, 422, "twice"},
		{"unknown state", "GET", submit + "?state=broken", "", nil, 422, "succeeded"},
		{"unknown class", "GET", submit + "?class=broken", "", nil, 422, "worker_lost"},
		{"bad kind as filter", "GET", submit + "?kind=Broken", "", nil, 422, "query.kind"},
		{"bad priority as filter", "GET", submit + "?priority=urgent", "", nil, 422, "query.priority"},
		{"limit zero", "GET", submit + "?limit=0", "", nil, 422, "query.limit"},
		{"limit too large", "GET", submit + "?limit=501", "", nil, 422, "query.limit"},
		{"bad cursor", "GET", submit + "?cursor=!!", "", nil, 422, "query.cursor"},
		{"id as filter fractional", "GET", submit + "?user_id=1.5", "", nil, 422, "query.user_id"},
		{"id as filter with spaces", "GET", submit + "?user_id=%201", "", nil, 422, "query.user_id"},
		{"id as filter too large", "GET", submit + "?report_id=9223372036854775808", "", nil, 422, "query.report_id"},
		{"query that cannot be read", "GET", submit + "?user_id=%zz", "", nil, 400, "query"},
		{"find without ids", "GET", "/v1/find?kind=evaluation_report", "", nil, 422, "query.user_id"},
		{"find an unknown kind", "GET", "/v1/find?kind=x&user_id=1&report_id=1", "", nil, 422, "query.kind"},
		{"find what is not there", "GET", "/v1/find?kind=evaluation_report&user_id=1&report_id=1", "", nil, 404, "no such"},
		{"bad wait", "GET", noJob + "?wait=soon", "", nil, 422, "query.wait"},
		{"negative wait", "GET", noJob + "?wait=-1s", "", nil, 422, "query.wait"},
		{"job that is not there", "GET", noJob, "", nil, 404, "no such"},
		{"job id of the wrong form", "GET", submit + "/42", "", nil, 404, "no such"},
		{"report of nothing", "GET", "/v1/reports/42", "", nil, 404, "neither"},
		{"report in an unknown shape", "GET", "/v1/reports/42?shape=round", "", nil, 422, "query.shape"},
		{"report at zero", "GET", "/v1/reports/0", "", nil, 422, "path.report_id"},
		{"reason of the wrong type", "POST", noJob + "/retry", `{"why":1}`, nil, 422, "body.why"},
		{"reason too long", "POST", noJob + "/retry", `{"why":"` + strings.Repeat("x", 501) + `"}`, nil, 422, "body.why"},
		{"reason with an unknown field", "POST", noJob + "/cancel", `{"reason":"x"}`, nil, 400, "reason"},

		{"method not allowed", "DELETE", submit, "", nil, 405, "POST"},
		{"unknown address", "GET", "/v1/jobs", "", nil, 404, "/docs"},
		{"unknown address outside", "GET", "/", "", nil, 404, "/docs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := serve(t, Config{}, "own")
			e := w.do(t, c.method, c.path, c.body, c.header...)
			e.problem(t, c.status)
			if !strings.Contains(string(e.body), c.says) {
				t.Errorf("the answer does not say %q: %s", c.says, e.body)
			}
			if c.status == 405 && e.header.Get("Allow") == "" {
				t.Error("405 without Allow")
			}
			if len(w.book.jobs)+len(w.book.interviews) > 0 {
				t.Error("something was stored")
			}
		})
	}
}

// slow gives a body no length, so that it is sent in chunks.
type chunked struct{ io.Reader }

func TestABodyOverTheLimitIsRefusedAlsoWithoutALength(t *testing.T) {
	t.Parallel()
	w := serve(t, Config{})
	for _, target := range []struct{ method, path string }{
		{"POST", "/v1/evaluations"}, {"POST", "/v1/evaluations:batch"}, {"PUT", "/v1/interviews/1"},
		{"POST", "/v1/evaluations/" + tasks.NewID(time.Now()) + "/cancel"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), target.method, w.url+target.path, chunked{bytes.NewReader(bytes.Repeat([]byte(" "), 1<<20+1))})
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if r.ContentLength != 0 || resp.StatusCode != 413 {
			t.Errorf("%s: length %d, status %d", target.path, r.ContentLength, resp.StatusCode)
		}
	}
}

func TestABodyOfExactlyTheLimitIsRead(t *testing.T) {
	t.Parallel()
	w := serve(t, Config{})
	w.do(t, "POST", "/v1/evaluations", good+strings.Repeat(" ", 1<<20-len(good))).want(t, 202)
}

// A caller that sends all before it reads, as most do, gets the answer and no
// broken connection.
func TestWhoStillSendsALargeBodyGetsTheAnswer(t *testing.T) {
	t.Parallel()
	const size = 6 << 20
	large := strings.Repeat(" ", size)
	piece := fmt.Sprintf("%x\r\n%s\r\n", 1<<20, strings.Repeat(" ", 1<<20))
	sized := fmt.Sprintf("Content-Length: %d\r\n", size)
	for name, c := range map[string]struct {
		head, body string
		status     int
	}{
		"with a length":                {"Content-Type: application/json\r\n" + sized, large, 413},
		"in chunks":                    {"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n", strings.Repeat(piece, 6) + "0\r\n\r\n", 413},
		"of the wrong type":            {"Content-Type: text/plain\r\n" + sized, large, 415},
		"from another site's own page": {"Content-Type: application/json\r\nOrigin: https://evil.example\r\n" + sized, large, 403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", strings.TrimPrefix(serve(t, Config{}).url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, "POST /v1/evaluations HTTP/1.1\r\nHost: localhost\r\n"+c.head+"\r\n"+c.body); err != nil {
				t.Fatalf("while sending: %v", err)
			}
			wantStatus(t, conn, c.status)
		})
	}
}

func TestACallerThatAsksBeforeItSendsIsRefusedWithoutTheBody(t *testing.T) {
	t.Parallel()
	conn, err := net.Dial("tcp", strings.TrimPrefix(serve(t, Config{}).url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "POST /v1/evaluations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2000000\r\nExpect: 100-continue\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, conn, 413)
}

func TestACallerThatStopsSendingIsNotWaitedForLong(t *testing.T) {
	t.Parallel()
	conn, err := net.Dial("tcp", strings.TrimPrefix(serve(t, Config{}).url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "POST /v1/evaluations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2000000\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, conn, 413)
}

func wantStatus(t *testing.T, conn net.Conn, status int) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != status || resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("status %d %v, want %d", resp.StatusCode, resp.Header, status)
	}
}

func TestTheMessageOfAFieldNeverQuotesTheValue(t *testing.T) {
	t.Parallel()
	w := serve(t, Config{}, "own")
	for _, e := range []exchange{
		w.do(t, "POST", "/v1/evaluations", `{"kind":"Pr1vate","user_id":"Pr1vate","report_id":"Pr1vate","priority":"Pr1vate","run_at":"Pr1vate","anew":"Pr1vate","data":"Pr1vate"}`),
		w.do(t, "POST", "/v1/evaluations", `{"kind":"evaluation_report","user_id":1,"report_id":2,"run_at":"9087-01-01T00:00:00Z"}`),
		w.do(t, "POST", "/v1/evaluations", `{"kind":"evaluation_report","user_id":1,"report_id":2,"data":"Pr1vate"}`),
		w.do(t, "GET", "/v1/evaluations?kind=Pr1vate&state=Pr1vate&priority=Pr1vate&class=Pr1vate&user_id=Pr1vate&limit=Pr1vate&cursor="+strings.Repeat("Pr1vate", 50), ""),
		w.do(t, "GET", "/v1/evaluations?cursor=Pr1vate", ""),
		w.do(t, "GET", "/v1/find?kind=Pr1vate&user_id=Pr1vate&report_id=Pr1vate", ""),
		w.do(t, "GET", "/v1/reports/1?shape=Pr1vate&user_id=Pr1vate", ""),
	} {
		p := e.problem(t, 422)
		if len(p.Errors) == 0 {
			t.Errorf("no field is named: %s", e.body)
		}
		for _, quoted := range []string{"Pr1vate", "9087", `\"evaluation_report\"`} {
			if strings.Contains(string(e.body), quoted) {
				t.Errorf("%s is quoted: %s", quoted, e.body)
			}
		}
	}
}

func FuzzSubmitNeverFailsInside(f *testing.F) {
	for _, seed := range []string{good, `{}`, `[]`, `{"kind":null}`, `{"user_id":9223372036854775807}`, "\x00", `{"kind":"resume_parse","user_id":1,"report_id":1,"data":[{}]}`, `{"run_at":"2030-01-01T00:00:00Z"}`} {
		f.Add([]byte(seed))
	}
	b := newBook()
	b.kinds = []tasks.Kind{"resume_parse"}
	a, err := New(b, &Config{Logger: discard})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, path := range []string{"/v1/evaluations", "/v1/evaluations:batch"} {
			status := record(a, "POST", path, body).Code
			if status >= 500 {
				t.Errorf("%s: status %d", path, status)
			}
		}
		if record(a, "PUT", "/v1/interviews/1", body).Code >= 500 {
			t.Error("interview failed inside")
		}
	})
}
