package e2e

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"evalq/client"
	"evalq/internal/mysqlurl"
	"evalq/tasks"
)

const (
	// locked is how long the platform's transactions stay open: twice as long as a
	// worker may be silent.
	locked = 22 * time.Second
	// The reports of jobs whose row is locked, and of the one that runs all the time.
	longReport, lockedReport, resubmittedReport = 1, 2, 3
)

// longJudge answers at once, but for one report, for which it waits until it is let.
func longJudge(t *testing.T) (url string, asked <-chan struct{}, let func()) {
	t.Helper()
	gate, gone, calls := make(chan struct{}), make(chan struct{}), make(chan struct{}, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct{ Report int64 }
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			t.Errorf("read a question: %v", err)
		}
		if q.Report == longReport {
			calls <- struct{}{}
			select {
			case <-gate:
			case <-gone:
			}
		}
		fmt.Fprint(w, `{"call": 1}`)
	}))
	t.Cleanup(func() {
		close(gone)
		s.Close()
	})
	return s.URL, calls, sync.OnceFunc(func() { close(gate) })
}

// begin opens a transaction of the platform's, which is rolled back when the test ends.
func (c *cluster) begin() *sql.Tx {
	c.t.Helper()
	driver, dsn := "pgx", c.sql.URL()
	if strings.HasPrefix(dsn, "mysql") {
		conf, err := mysqlurl.Parse(dsn)
		if err != nil {
			c.t.Fatal(err)
		}
		driver, dsn = "mysql", conf.FormatDSN()
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { db.Close() })
	tx, err := db.BeginTx(c.t.Context(), &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

func (c *cluster) submit(report int) (id string) {
	c.t.Helper()
	return fmt.Sprint(c.api.call("POST", "/v1/evaluations", map[string]any{"kind": "evaluation_report", "user_id": report, "report_id": report}, 202).body["id"])
}

// wantOneAttempt wants a job to have succeeded at the first attempt, at no charge.
func (c *cluster) wantOneAttempt(report int, id string) {
	c.t.Helper()
	job := c.api.finished(id)
	if charged := fmt.Sprint(job["charged"]); job["state"] != "succeeded" || fmt.Sprint(job["attempt"]) != "1" || charged != "0" && charged != "<nil>" {
		c.t.Errorf("the job of report %d is %v at attempt %v, %v charged: %v", report, job["state"], job["attempt"], job["charged"], job["error"])
	}
}

func TestLocksOnQueuedJobsTakeNoWorkerNoAttemptAndNoOtherJobsTime(t *testing.T) {
	t.Parallel()
	ledgers(t, func(c *cluster) {
		judge, asked, let := longJudge(c.t)
		c.args = append(c.args, "--judge", judge)
		node := func(more ...string) []string { return append(append([]string{"chaos", "node"}, c.args...), more...) }
		c.api = start(c.t, node("--roles", "api,relay", "--listen", "127.0.0.1:0")...)
		for report := 1; report <= 99; report++ {
			c.api.call("PUT", fmt.Sprintf("/v1/interviews/%d", report), map[string]any{"user_id": report, "answers": []map[string]any{{
				"question": "What is a goroutine?", "answer": "A light thread", "key_points": []map[string]any{{"text": "light thread"}},
			}}}, 201)
		}
		jobs := map[int]string{}
		for report := longReport; report <= resubmittedReport; report++ {
			jobs[report] = c.submit(report)
			c.api.await("has handed the job out", func() bool {
				return c.api.call("GET", "/v1/evaluations/"+jobs[report], nil, 200).body["state"] == "queued"
			})
		}

		row, key := c.begin(), c.begin()
		if err := row.QueryRow(`SELECT seq FROM evalq_jobs WHERE report_id = 2 FOR UPDATE`).Scan(new(int64)); err != nil {
			c.t.Fatal(err)
		}
		platform, err := client.Open(c.t.Context(), c.sql.URL(), nil)
		if err != nil {
			c.t.Fatal(err)
		}
		defer platform.Close()
		again, err := platform.SubmitTx(c.t.Context(), key, tasks.EvaluationReport{UserID: resubmittedReport, ReportID: resubmittedReport})
		if err != nil || again.ID != jobs[resubmittedReport] {
			c.t.Fatalf("the platform's submission is job %s: %v", again.ID, err)
		}
		began := time.Now()

		worker := launch(c.t, node("--roles", "worker", "--concurrency", "2")...)
		worker.awaitLine("serving ")
		select {
		case <-asked:
		case <-time.After(120 * time.Second):
			c.t.Fatalf("the long job did not begin:\n%s", worker.out)
		}
		every := time.NewTicker(500 * time.Millisecond)
		defer every.Stop()
		for report := resubmittedReport + 1; report <= 6 || time.Since(began) < locked; report++ {
			jobs[report] = c.submit(report)
			c.wantOneAttempt(report, jobs[report]) // while the locks are kept
			<-every.C
		}
		for _, report := range []int{lockedReport, resubmittedReport} {
			if state := c.api.call("GET", "/v1/evaluations/"+jobs[report], nil, 200).body["state"]; state == "running" || state == "succeeded" {
				c.t.Errorf("the job of report %d is %v although its row is locked", report, state)
			}
		}
		if err := errors.Join(row.Commit(), key.Commit()); err != nil {
			c.t.Fatal(err)
		}
		for _, report := range []int{lockedReport, resubmittedReport} {
			c.wantOneAttempt(report, jobs[report])
		}
		let()
		c.wantOneAttempt(longReport, jobs[longReport])
		var lost int
		if err := c.begin().QueryRow(`SELECT count(*) FROM evalq_workers WHERE ended_at <> 0`).Scan(&lost); err != nil || lost != 0 {
			c.t.Errorf("%d workers were given up: %v", lost, err)
		}
		for _, p := range []*process{worker, c.api} {
			if code := p.interrupt(); code != 0 {
				c.t.Errorf("a process ended with %d:\n%s", code, p.out)
			}
		}
	})
}
