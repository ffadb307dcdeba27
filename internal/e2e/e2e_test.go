package e2e

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"evalq/internal/evaluation"
	"evalq/internal/redistest"
	"evalq/samples"
)

// engines are the worlds that every system test runs in.
func engines(t *testing.T, test func(t *testing.T, args []string)) {
	t.Run("on the embedded engine", func(t *testing.T) {
		t.Parallel()
		test(t, []string{"--engine", "embedded"})
	})
	t.Run("on a real Redis", func(t *testing.T) {
		t.Parallel()
		test(t, []string{"--redis-url", redistest.Start(t, redistest.WithAOF()).URL})
	})
}

func serve(t *testing.T, dir string, engine []string) *process {
	t.Helper()
	return start(t, append([]string{"serve", "--listen", "127.0.0.1:0", "--data-dir", dir}, engine...)...)
}

func TestTheSamplesAreEvaluatedOverHTTP(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, engine []string) {
		p := serve(t, t.TempDir(), engine)
		all, err := samples.All()
		if err != nil {
			t.Fatal(err)
		}
		jobs := map[string]evaluation.Interview{}
		for i, in := range all {
			p.call("PUT", fmt.Sprintf("/v1/interviews/%d", in.ReportID), in, 201)
			for _, kind := range []string{"evaluation_report", "topic_evaluation"} {
				r := p.call("POST", "/v1/evaluations", map[string]any{
					"kind": kind, "user_id": in.UserID, "report_id": in.ReportID, "priority": []string{"critical", "default", "low"}[i%3],
				}, 202)
				if r.header.Get("Location") != "/v1/evaluations/"+r.body["id"].(string) {
					t.Fatalf("Location %q", r.header.Get("Location"))
				}
				jobs[r.body["id"].(string)] = in
			}
		}
		states := map[string]int{}
		for id := range jobs {
			job := p.finished(id)
			states[job["state"].(string)]++
			if result, ok := job["result"].(map[string]any); ok && (result["schema"] != "report/1" && result["schema"] != "topic-eval/1" || job["judge"] == "") {
				t.Fatalf("job %s has the result %v by %v", id, result["schema"], job["judge"])
			}
		}
		// One sample has nothing to measure against, one has no answers.
		if states["dead"] != 2 || states["skipped"] != 2 || states["succeeded"] != len(jobs)-4 {
			t.Fatalf("the samples ended as %v", states)
		}
		if code := p.interrupt(); code != 0 {
			t.Fatalf("it exited with %d:\n%s", code, p.out)
		}
	})
}

func TestADeadJobIsArchivedAndRunFromAsynqmonSucceeds(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, engine []string) {
		p := serve(t, t.TempDir(), engine)
		broken, err := samples.NotAssessable()
		if err != nil {
			t.Fatal(err)
		}
		repaired, err := samples.NotAssessableWithKeyPoints()
		if err != nil {
			t.Fatal(err)
		}
		path := fmt.Sprintf("/v1/interviews/%d", broken.ReportID)
		p.call("PUT", path, broken, 201)
		id := p.call("POST", "/v1/evaluations", map[string]any{"kind": "evaluation_report", "user_id": broken.UserID, "report_id": broken.ReportID}, 202).body["id"].(string)
		job := p.finished(id)
		if class := job["error"].(map[string]any)["class"]; job["state"] != "dead" || class != "not_assessable" || job["attempt"].(interface{ String() string }).String() != "1" {
			t.Fatalf("it ended as %v: %v", job["state"], class)
		}
		const archived = "/asynqmon/api/queues/default/archived_tasks"
		p.await("shows the archived task", func() bool {
			return strings.Contains(string(p.call("GET", archived, nil, 200).raw), `"id":"`+id+`.1"`)
		})
		p.call("PUT", path, repaired, 200)
		p.call("POST", archived+"/"+id+".1:run", nil, 204)
		if job := p.finished(id); job["state"] != "succeeded" {
			t.Fatalf("it ended as %v: %v", job["state"], job["error"])
		}
		p.await("shows no archived task", func() bool {
			return !strings.Contains(string(p.call("GET", archived, nil, 200).raw), id)
		})
		events := string(p.call("GET", "/v1/evaluations/"+id+"/events", nil, 200).raw)
		if !strings.Contains(events, `"from":"dead","to":"accepted"`) {
			t.Fatalf("the run by hand left no event: %s", events)
		}
	})
}

// load is a stream of submissions whose acknowledgements are remembered.
type load struct {
	mu    sync.Mutex
	acked map[string]bool
}

// submit sends interviews and both requests for each from eight callers. When
// it comes to the report killAt, the server is killed; 0 is never.
func (l *load) submit(p *process, first, last, killAt int64) {
	var wg sync.WaitGroup
	next := make(chan int64)
	for range 8 {
		wg.Go(func() {
			for report := range next {
				l.one(p, report)
			}
		})
	}
	for report := first; report <= last; report++ {
		if report == killAt {
			wg.Go(p.kill)
		}
		next <- report
	}
	close(next)
	wg.Wait()
}

func (l *load) one(p *process, report int64) {
	user := report%7 + 1
	doc := map[string]any{"user_id": user, "language": "en", "answers": []map[string]any{{
		"question": "What is a goroutine?", "answer": fmt.Sprintf("A goroutine is a light thread number %d that the runtime schedules", report),
		"key_points": []map[string]any{{"text": "light thread"}, {"text": "scheduled by the runtime"}},
	}}}
	ctx := p.t.Context()
	if _, err := request(ctx, "PUT", fmt.Sprintf("%s/v1/interviews/%d", p.url, report), doc); err != nil {
		return
	}
	for _, kind := range []string{"evaluation_report", "topic_evaluation"} {
		r, err := request(ctx, "POST", p.url+"/v1/evaluations", map[string]any{"kind": kind, "user_id": user, "report_id": report})
		if err != nil || (r.status != 202 && r.status != 200) {
			continue
		}
		l.mu.Lock()
		l.acked[r.body["id"].(string)] = true
		l.mu.Unlock()
	}
}

func TestWhatWasAcknowledgedBeforeAKillEndsWithExactlyOneResult(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, engine []string) {
		const reports = 1000 // two submissions each
		dir := t.TempDir()
		l := &load{acked: map[string]bool{}}
		const rounds = 3
		for round := range int64(rounds) {
			first, last := reports*round/rounds+1, int64(reports*(round+1)/rounds)
			// A moment in the second half of the load, another one each time.
			killAt := (first+last)/2 + rand.Int64N((last-first)/2)
			l.submit(serve(t, dir, engine), first, last, killAt)
		}
		if n := len(l.acked); n == 0 || n == 2*reports {
			t.Fatalf("%d of %d were acknowledged: the kills hit no load", n, 2*reports)
		}
		p := serve(t, dir, engine)
		l.submit(p, 1, reports, 0) // the callers that got no answer ask again
		if len(l.acked) != 2*reports {
			t.Fatalf("%d acknowledged, want %d", len(l.acked), 2*reports)
		}
		for id := range l.acked {
			if job := p.finished(id); job["state"] != "succeeded" || job["result"] == nil {
				t.Fatalf("job %s ended as %v: %v", id, job["state"], job["error"])
			}
		}
		p.wantOneJobAKey(2 * reports)
	})
}

// wantOneJobAKey walks all jobs and looks for a second one of the same key.
func (p *process) wantOneJobAKey(want int) {
	p.t.Helper()
	seen := map[string]bool{}
	for cursor := ""; ; {
		page := p.call("GET", "/v1/evaluations?limit=500&cursor="+cursor, nil, 200).body
		for _, raw := range page["jobs"].([]any) {
			job := raw.(map[string]any)
			key := fmt.Sprint(job["kind"], job["user_id"], job["report_id"])
			if seen[key] || job["state"] != "succeeded" {
				p.t.Fatalf("a second or unfinished job for %s: %v", key, job)
			}
			seen[key] = true
		}
		next, _ := page["next"].(string)
		if next == "" {
			break
		}
		cursor = next
	}
	if len(seen) != want {
		p.t.Fatalf("%d jobs, want %d", len(seen), want)
	}
}

func TestBadStartsFailSoonAndSayWhy(t *testing.T) {
	t.Parallel()
	busy := serve(t, t.TempDir(), nil)
	port := strings.TrimPrefix(busy.url, "http://")
	inUse := t.TempDir()
	owner := serve(t, inUse, nil)
	_ = owner
	for name, c := range map[string]struct {
		args []string
		say  string
		hide string
	}{
		"a Redis that is not there": {[]string{"--redis-url", "redis://:s3cretpass@127.0.0.1:1/0"}, "redis://", "s3cretpass"},
		"a bad Redis URL":           {[]string{"--redis-url", "http://:s3cretpass@x"}, "redis", "s3cretpass"},
		"a port that is taken":      {[]string{"--listen", port}, "--listen", ""},
		"a folder in use":           {[]string{"--data-dir", inUse}, "--data-dir", ""},
		"a folder that is a file":   {[]string{"--data-dir", binary}, "--data-dir", ""},
		"beyond loopback":           {[]string{"--listen", "0.0.0.0:0"}, "token", ""},
		"a subset of the roles":     {[]string{"--roles", "api"}, "SQLite", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := []string{"serve"}
			if !strings.Contains(strings.Join(c.args, " "), "--data-dir") {
				args = append(args, "--data-dir", t.TempDir())
			}
			if !strings.Contains(strings.Join(c.args, " "), "--listen") {
				args = append(args, "--listen", "127.0.0.1:0")
			}
			began := time.Now()
			out, code := run(t, append(args, c.args...)...)
			if took := time.Since(began); code == 0 || took > 10*time.Second {
				t.Fatalf("exit %d after %s:\n%s", code, took, out)
			}
			if !strings.Contains(out, c.say) || (c.hide != "" && strings.Contains(out, c.hide)) {
				t.Fatalf("it said:\n%s", out)
			}
		})
	}
}
