package server_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"evalq/client"
	"evalq/internal/mysqlurl"
	"evalq/internal/redistest"
	"evalq/internal/sqltest"
	"evalq/server"
	"evalq/tasks"
)

// guide is the interview platform after each step of docs/migrating.md, as two
// processes beside an evalq.
type guide struct {
	t              *testing.T
	dir, page      string
	db             *sql.DB
	calls, failing atomic.Int64
	answer         chan struct{} // closed when the model may answer
}

// noModules are words of `go` where modules cannot be had.
var noModules = regexp.MustCompile(`dial tcp|no such host|module lookup disabled|proxyconnect|i/o timeout|cannot find module providing`)

// walked builds the platform in a folder of its own, against this evalq.
func walked(t *testing.T) *guide {
	t.Helper()
	root, err := filepath.Abs("..")
	must(t, err)
	g := &guide{t: t, dir: t.TempDir(), answer: make(chan struct{})}
	must(t, os.CopyFS(g.dir, os.DirFS("../mq/testdata/platform/after")))
	for _, args := range [][]string{
		{"mod", "edit", "-replace=evalq=" + root},
		{"build", "-mod=mod", "-o", "main", "."},
		{"build", "-mod=mod", "-o", "evaluation-worker", "./cmd/evaluation-worker"},
	} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = g.dir
		if out, err := cmd.CombinedOutput(); err != nil {
			if noModules.Match(out) && os.Getenv("CI") == "" { // in CI a test that does not run is a failure
				t.Skipf("the platform's modules cannot be had: %s", out)
			}
			t.Fatalf("go %v: %v\n%s", args, err, out)
		}
	}
	return g
}

// start runs one of the processes until the test ends, in which it ends in order.
func (g *guide) start(program string, env ...string) {
	g.t.Helper()
	cmd := exec.Command(filepath.Join(g.dir, program))
	cmd.Dir, cmd.Env = g.dir, append(os.Environ(), env...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	must(g.t, cmd.Start())
	g.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil || g.t.Failed() {
			g.t.Errorf("%s: %v\n%s", program, err, log.String())
		}
	})
}

func (g *guide) eventually(what string, holds func() bool) {
	g.t.Helper()
	limit, again := time.After(2*time.Minute), time.NewTicker(50*time.Millisecond)
	defer again.Stop()
	for !holds() {
		select {
		case <-again.C:
		case <-limit:
			g.t.Fatalf("%s: not in two minutes", what)
		}
	}
}

// model is the chat model, which is overloaded at first.
func (g *guide) model() *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.failing.Add(-1) >= 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		<-g.answer
		g.calls.Add(1)
		if r.URL.Path == "/answers" {
			fmt.Fprint(w, `{"records":[{"order":1,"content":"the difference of a slice and an array"}]}`)
			return
		}
		fmt.Fprint(w, `{"comment":"sound","dimensions":[{"dimension_name":"depth","evaluation":"good","score":80},{"dimension_name":"width","evaluation":"good","score":70}]}`)
	}))
	g.t.Cleanup(s.Close)
	return s
}

// envelope is what the platform's page reads.
type envelope struct {
	Code    int
	Message string
	Data    map[string]any
}

func (g *guide) ask(method, path string, form url.Values) (out envelope, err error) {
	r, err := http.NewRequestWithContext(g.t.Context(), method, g.page+path, strings.NewReader(form.Encode()))
	must(g.t, err)
	r.Header.Set("X-Auth-Token", "7")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return out, err
	}
	defer answer.Body.Close()
	must(g.t, json.NewDecoder(answer.Body).Decode(&out))
	if out.Code != answer.StatusCode {
		g.t.Errorf("%s: status %d, code %d", path, answer.StatusCode, out.Code)
	}
	return out, nil
}

// statements are those of the guide's SQL.
func statements(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../docs/migrating.md")
	must(t, err)
	var out []string
	for _, block := range regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		for _, s := range strings.Split(block[1], ";\n") {
			if strings.TrimSpace(s) != "" {
				out = append(out, s)
			}
		}
	}
	if len(out) < 2 {
		t.Fatalf("the guide has %d statements", len(out))
	}
	return out
}

// configure writes the platform's config.yaml.
func (g *guide) configure(redisAddr, platformURL, modelURL string) {
	g.t.Helper()
	conf, err := mysqlurl.Parse(platformURL)
	must(g.t, err)
	conf.ParseTime = true
	if g.db, err = sql.Open("mysql", conf.FormatDSN()); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { g.db.Close() })
	free, err := net.Listen("tcp", "127.0.0.1:0")
	must(g.t, err)
	port := free.Addr().(*net.TCPAddr).Port
	must(g.t, free.Close())
	g.page = fmt.Sprintf("http://127.0.0.1:%d", port)
	text := fmt.Sprintf("host: 127.0.0.1\nport: %d\ndatabase:\n  dsn: %q\nredis:\n  addr: %q\nmodel:\n  base_url: %q\n", port, conf.FormatDSN(), redisAddr, modelURL)
	must(g.t, os.WriteFile(filepath.Join(g.dir, "config.yaml"), []byte(text), 0o600))
}

func TestAPlatformOnHertzAndGORMRunsAsTheGuideLeavesIt(t *testing.T) {
	t.Parallel()
	g := walked(t)
	g.failing.Store(7) // more than a job has attempts
	ledger, platform, redis := sqltest.MariaDB(t), sqltest.MariaDB(t), redistest.Start(t, redistest.WithTCP())
	g.configure(redis.Addr, platform, g.model().URL)
	front := serve(t, server.Config{LedgerURL: ledger, RedisURL: redis.URL, Listen: "127.0.0.1:0", Roles: []string{"api", "relay", "dashboard"}})

	g.start("evaluation-worker", "EVALQ_LEDGER_URL="+ledger, "EVALQ_REDIS_URL="+redis.URL, "EVALQ_PLATFORM_DB="+platform)
	// A table that is being altered is not in the catalogue for a moment, and the worker
	// looks there when it starts.
	g.eventually("the worker has made the platform's tables and is at work", func() bool {
		resp, err := http.Get(front.URL() + "/live.json")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		var live struct{ Workers int }
		return json.NewDecoder(resp.Body).Decode(&live) == nil && live.Workers == 1
	})
	for _, s := range statements(t) {
		_, err := g.db.ExecContext(t.Context(), s)
		must(t, err)
	}
	g.start("main", "EVALQ_URL="+front.URL())

	var ended envelope
	g.eventually("the interview ends", func() (ok bool) {
		var err error
		ended, err = g.ask(http.MethodPost, "/api/mianshi/interview/end", url.Values{"question": {"q"}, "answer": {"a"}})
		return err == nil
	})
	report, _ := ended.Data["report_id"].(float64)
	if ended.Code != 200 || report == 0 {
		t.Fatalf("%+v", ended)
	}
	evaluation := fmt.Sprintf("/api/mianshi/evaluation?report_id=%.0f", report)
	waiting, err := g.ask(http.MethodGet, evaluation, nil)
	must(t, err)
	if waiting.Code != 200 || waiting.Data["state"] == "" || waiting.Data["ended"] != false {
		t.Errorf("while it is evaluated: %+v", waiting)
	}
	if missing, err := g.ask(http.MethodGet, "/api/mianshi/evaluation?report_id=999", nil); err != nil || missing.Code != 404 {
		t.Errorf("%v: an evaluation that was not asked for: %+v", err, missing)
	}
	close(g.answer)
	g.eventually("the page shows the score", func() bool {
		e, err := g.ask(http.MethodGet, evaluation, nil)
		return err == nil && e.Data["score"] == 75.0 && e.Data["comment"] == "sound"
	})
	g.eventually("the page shows the answers", func() bool {
		e, err := g.ask(http.MethodGet, strings.Replace(evaluation, "evaluation", "answer-record", 1), nil)
		records, _ := e.Data["records"].([]any)
		return err == nil && len(records) == 1
	})
	if n := g.calls.Load(); n != 2 {
		t.Errorf("the model has answered %d times for two evaluations", n)
	}
	g.saveAgain(t, uint64(report))
	g.unanswered(t, front.URL())
}

// unanswered is an interview that its user ended before the first answer.
func (g *guide) unanswered(t *testing.T, evalq string) {
	t.Helper()
	calls := g.calls.Load()
	ended, err := g.ask(http.MethodPost, "/api/mianshi/interview/end", url.Values{"question": {"q"}, "answer": {" "}})
	must(t, err)
	c, err := client.Open(t.Context(), evalq, nil)
	must(t, err)
	defer c.Close()
	report, _ := ended.Data["report_id"].(float64)
	for _, kind := range tasks.Kinds() {
		g.eventually("it is skipped", func() bool {
			job, err := c.Find(t.Context(), kind, 7, int64(report))
			return err == nil && job.State == tasks.Skipped && job.Skipped == "empty"
		})
	}
	if n := g.calls.Load(); n != calls {
		t.Errorf("%d calls for an interview without an answer", n-calls)
	}
}

// saveAgain is what a second call of a function does after a first one has saved:
// the key of the guide lets it update the row.
func (g *guide) saveAgain(t *testing.T, report uint64) {
	t.Helper()
	for _, table := range []string{"interview_evaluation", "answer_report"} {
		var rows int
		must(t, g.db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table+" WHERE report_id = ?", report).Scan(&rows))
		_, err := g.db.ExecContext(context.WithoutCancel(t.Context()), "INSERT INTO "+table+" (user_id, report_id, deleted) VALUES (7, ?, 0)", report)
		if rows != 1 || err == nil || !strings.Contains(err.Error(), "Duplicate entry") {
			t.Errorf("%s has %d rows, and a second one: %v", table, rows, err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
