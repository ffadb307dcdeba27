package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"evalq/internal/config"
	"evalq/tasks"
)

func (e ended) backfilled(t *testing.T) (out tasks.Backfilled) {
	t.Helper()
	e.decode(t, &out)
	return out
}

func TestBackfillCountsUntilItIsToldYesAndThenSubmitsWithLowPriority(t *testing.T) {
	t.Parallel()
	w := start(t)
	all := "[" + interview(7, 42, "a view of an array") + "," + interview(8, 43, "a view of an array") + "," +
		strings.Replace(interview(8, 44, ""), "a view of an array with a length and a capacity", " ", 1) + "]"
	w.run(t, "import", file(t, "i.json", all)).want(t, 0)
	w.run(t, "submit", "evaluation_report", "--user", "7", "--report", "42", "--wait").want(t, 0)

	young := w.run(t, "backfill", "--dry-run", "--json").want(t, 0).backfilled(t)
	if got := young.Kinds[tasks.KindTopicEvaluation]; got != (tasks.BackfilledKind{Found: 2, Young: 2}) {
		t.Fatalf("what was stored just now is left to its publisher: %+v", got)
	}
	w.run(t, "backfill", "--older-than", "0s", "--dry-run").want(t, 0, "TO SUBMIT", "evaluation_report  1      1", "topic_evaluation   2      2", "looked at 3 interviews")
	w.run(t, "backfill", "--older-than", "0s").want(t, 2, "TO SUBMIT", "nothing was submitted", "--yes")
	if l := w.run(t, "list", "--json").want(t, 0); strings.Count(l.out, `"id"`) != 1 {
		t.Fatalf("counting submitted something: %s", l.out)
	}
	one := w.run(t, "backfill", "--older-than", "0s", "--yes", "--json", "--user", "8").want(t, 0).backfilled(t)
	if one.Looked != 2 || one.Interviews != 1 || one.Kinds[tasks.KindEvaluationReport].Submitted != 1 || one.Kinds[tasks.KindTopicEvaluation].Submitted != 1 {
		t.Fatalf("of one user: %+v", one)
	}
	w.run(t, "backfill", "--older-than", "0s", "--yes").want(t, 0, "SUBMITTED")
	var page tasks.Page
	w.run(t, "list", "--json").want(t, 0).decode(t, &page)
	low := 0
	for _, j := range page.Jobs {
		w.run(t, "get", j.ID, "--wait").want(t, 0, "succeeded")
		if j.Priority == tasks.Low {
			low++
		}
	}
	if len(page.Jobs) != 4 || low != 3 {
		t.Fatalf("%d jobs, %d of them with low priority", len(page.Jobs), low)
	}
	end := w.run(t, "backfill", "--older-than", "0s", "--yes", "--json").want(t, 0).backfilled(t)
	if end.Interviews != 0 || end.Kinds[tasks.KindEvaluationReport].Found+end.Kinds[tasks.KindTopicEvaluation].Found != 0 {
		t.Fatalf("when all is evaluated: %+v", end)
	}
}

func TestBackfillLeavesDeadAndCancelledJobsAloneAndSaysHowToRunThem(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.run(t, "import", file(t, "i.json", "["+interview(7, 42, "")+","+interview(7, 43, "x")+","+interview(7, 44, "x")+"]")).want(t, 0)
	submit := func(kind, report string, more ...string) string {
		return w.run(t, append([]string{"submit", kind, "--user", "7", "--report", report, "--json"}, more...)...).job(t).ID
	}
	dead := submit("evaluation_report", "42", "--wait") // nothing to measure it by
	cancelled := submit("evaluation_report", "43", "--at", far)
	waiting := submit("evaluation_report", "44", "--at", far)
	w.run(t, "cancel", cancelled).want(t, 0)
	got := w.run(t, "backfill", "--older-than", "0s", "--yes", "--json").want(t, 0).backfilled(t)
	if k := got.Kinds[tasks.KindEvaluationReport]; k != (tasks.BackfilledKind{Found: 3, Dead: 1, Cancelled: 1, Underway: 1}) {
		t.Fatalf("%+v", k)
	}
	w.run(t, "backfill", "--older-than", "0s", "--dry-run").want(t, 0, "left alone, ", "cancelled: ", dead, cancelled, "evalq retry ID...", "evalq list --state dead")
	for id, want := range map[string]tasks.State{dead: tasks.Dead, cancelled: tasks.Cancelled, waiting: tasks.Accepted} {
		if j := w.run(t, "get", id, "--json").want(t, 0).job(t); j.State != want || j.Run != 1 {
			t.Errorf("a job that was %s is %s in run %d", want, j.State, j.Run)
		}
	}
}

func TestBackfillStopsAtItsLimitAndGoesOnAtItsCursor(t *testing.T) {
	t.Parallel()
	w := start(t)
	var all []string
	for report := int64(1); report <= 5; report++ {
		all = append(all, interview(7, report, "a view of an array"))
	}
	w.run(t, "import", file(t, "i.json", "["+strings.Join(all, ",")+"]")).want(t, 0)
	first := w.run(t, "backfill", "--older-than", "0s", "--yes", "--limit", "2", "--json").want(t, 0).backfilled(t)
	if first.Interviews != 2 || first.Kinds[tasks.KindTopicEvaluation].Found != 2 || first.Next == "" {
		t.Fatalf("%+v", first)
	}
	w.run(t, "backfill", "--older-than", "0s", "--dry-run", "--limit", "2").want(t, 0, "--cursor")
	second := w.run(t, "backfill", "--older-than", "0s", "--yes", "--limit", "3", "--cursor", first.Next, "--json").want(t, 0).backfilled(t)
	if n := second.Kinds[tasks.KindEvaluationReport]; n.Found != 3 || n.Submitted != 3 || second.Next != "" {
		t.Fatalf("from there on: %+v", second)
	}
	w.run(t, "backfill", "--dry-run", "--cursor", "!").want(t, 2, "cursor")
}

func TestBackfillWatchesUntilItIsInterrupted(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.run(t, "import", file(t, "i.json", interview(7, 42, "a view of an array"))).want(t, 0)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, in := io.Pipe()
	p := &program{out: in, errOut: &lockedBuffer{}, environ: append([]string{"HOME=" + t.TempDir()}, w.environ...)}
	code := make(chan int, 1)
	go func() {
		defer in.Close()
		code <- p.run(ctx, []string{"backfill", "--watch", "--yes", "--every", "1s", "--older-than", "0s", "--json"})
	}()
	passes := json.NewDecoder(out)
	next := func() (b tasks.Backfilled) {
		t.Helper()
		if err := passes.Decode(&b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	if b := next(); b.Kinds[tasks.KindEvaluationReport].Submitted != 1 {
		t.Fatalf("the first pass: %+v", b)
	}
	w.run(t, "import", file(t, "i.json", interview(7, 43, "a view of an array"))).want(t, 0)
	for later := 0; ; later++ { // what came since is found by a pass after it
		if b := next(); b.Kinds[tasks.KindTopicEvaluation].Submitted == 1 {
			break
		} else if later > 30 {
			t.Fatalf("the last of many passes: %+v", b)
		}
	}
	cancel()
	go func() { _, _ = io.Copy(io.Discard, out) }()
	if c := <-code; c != 0 {
		t.Errorf("interrupted, it ends with %d", c)
	}
}

// lockedBuffer may be written by one goroutine and read by another.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestBackfillWatchesOnWhileTheServerIsAway(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	said := &lockedBuffer{}
	p := &program{out: io.Discard, errOut: said, environ: []string{"HOME=" + t.TempDir(), "EVALQ_URL=http://127.0.0.1:1"}}
	code := make(chan int, 1)
	go func() {
		code <- p.run(ctx, []string{"backfill", "--watch", "--dry-run", "--every", "1s", "--timeout", "100ms"})
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for strings.Count(said.String(), "the next pass is in 1s") < 2 {
		select {
		case <-tick.C:
		case c := <-code:
			t.Fatalf("it ended with %d: %s", c, said)
		}
	}
	cancel()
	if c := <-code; c != 0 {
		t.Errorf("interrupted, it ends with %d", c)
	}
}

func TestBackfillRefusesWhatIsNotClear(t *testing.T) {
	t.Parallel()
	for says, args := range map[string][]string{
		"give one of them": {"--dry-run", "--yes"}, "--watch: say": {"--watch"}, "--older-than": {"--older-than", "-1s"},
		"--limit": {"--limit", "-1"}, "--every": {"--watch", "--yes", "--every", "1ms"}, "--user": {"--user", "0"},
	} {
		run(t, []string{"EVALQ_URL=http://127.0.0.1:1"}, "", append([]string{"backfill"}, args...)...).want(t, 2, says)
	}
	run(t, []string{"EVALQ_URL=http://127.0.0.1:1"}, "", "backfill", "--dry-run").want(t, 5, "evalq serve")
	w := start(t, func(c *config.Config) { c.OperatorToken, c.ViewerToken = "operator1", "viewer111" })
	run(t, append([]string{"EVALQ_TOKEN=viewer111"}, w.environ...), "", "backfill", "--dry-run").want(t, 6, "operator")
}
