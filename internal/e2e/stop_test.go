package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// slow is a judge that answers when it is let.
type slow struct {
	*httptest.Server
	asked chan struct{} // a call has come
	let   func()
}

func newSlow(t *testing.T) *slow {
	t.Helper()
	gate, gone := make(chan struct{}), make(chan struct{})
	s := &slow{asked: make(chan struct{}, 100), let: sync.OnceFunc(func() { close(gate) })}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.asked <- struct{}{}
		select {
		case <-gate:
			fmt.Fprint(w, `{"call": 1}`)
		case <-gone:
		}
	}))
	t.Cleanup(func() {
		close(gone)
		s.Close()
	})
	return s
}

// underWay starts a server with a job that is being judged, and tells it to stop by
// the signals.
func underWay(t *testing.T, dir string, signals ...syscall.Signal) (p *process, judge *slow, running string) {
	t.Helper()
	judge = newSlow(t)
	p = start(t, "chaos", "node", "--judge", judge.URL, "--listen", "127.0.0.1:0", "--data-dir", dir)
	p.call("PUT", "/v1/interviews/1", map[string]any{"user_id": 1, "answers": []map[string]any{{
		"question": "What is a goroutine?", "answer": "A light thread", "key_points": []map[string]any{{"text": "light thread"}},
	}}}, 201)
	running = fmt.Sprint(p.call("POST", "/v1/evaluations", map[string]any{"kind": "evaluation_report", "user_id": 1, "report_id": 1}, 202).body["id"])
	select {
	case <-judge.asked:
	case <-time.After(60 * time.Second):
		t.Fatalf("nothing was judged:\n%s", p.out)
	}
	for _, s := range signals {
		if err := p.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	p.await("takes no more work", func() bool {
		return strings.Contains(string(p.call("GET", "/", nil, 200).raw), "draining")
	})
	return p, judge, running
}

func TestAtSIGTERMARunningJobFinishesWhileTheAPIStillAccepts(t *testing.T) {
	t.Parallel()
	finishesAfter(t, syscall.SIGTERM)
}

// A shell and the kernel may both tell a program that its terminal is gone.
func TestAtSIGHUPARunningJobFinishesThoughItComesAgain(t *testing.T) {
	t.Parallel()
	finishesAfter(t, syscall.SIGHUP, syscall.SIGPIPE)
}

func finishesAfter(t *testing.T, signals ...syscall.Signal) {
	t.Helper()
	dir := t.TempDir()
	p, judge, running := underWay(t, dir, signals...)
	if signals[0] == syscall.SIGHUP {
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	late := fmt.Sprint(p.call("POST", "/v1/evaluations", map[string]any{"kind": "evaluation_report", "user_id": 1, "report_id": 2}, 202).body["id"])
	judge.let()
	select {
	case err := <-p.done:
		p.done <- err
	case <-time.After(60 * time.Second):
		t.Fatalf("it did not stop:\n%s", p.out)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Fatalf("it ended with %d:\n%s", code, p.out)
	}
	p = serve(t, dir, nil)
	if job := p.call("GET", "/v1/evaluations/"+running, nil, 200).body; job["state"] != "succeeded" || fmt.Sprint(job["attempt"]) != "1" {
		t.Errorf("the running job is %v after attempt %v", job["state"], job["attempt"])
	}
	p.call("GET", "/v1/evaluations/"+late, nil, 200)
}

func TestASecondSignalEndsItAtOnceAndNothingIsLost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p, _, running := underWay(t, dir, syscall.SIGTERM)
	began := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-p.done:
		p.done <- err
	case <-time.After(60 * time.Second):
		t.Fatalf("it did not end:\n%s", p.out)
	}
	t.Logf("it ended %s after the second signal", time.Since(began).Round(time.Millisecond))
	if p.cmd.ProcessState.Success() {
		t.Error("it says that it stopped in order")
	}
	p = serve(t, dir, nil)
	if job := p.finished(running); job["state"] != "succeeded" || fmt.Sprint(job["attempt"]) != "2" {
		t.Errorf("the job that was cut off is %v after attempt %v", job["state"], job["attempt"])
	}
	if events := string(p.call("GET", "/v1/evaluations/"+running+"/events", nil, 200).raw); !strings.Contains(events, "a call may be paid for again: ") {
		t.Errorf("its history does not say that the call may be paid for again: %s", events)
	}
}
