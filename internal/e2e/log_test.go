package e2e

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// logPipe is a pipe for a server's log of which nothing is read.
func logPipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// serveInto starts a server that logs into w alone.
func serveInto(t *testing.T, w *os.File) *process {
	t.Helper()
	cmd := exec.Command(binary, "serve", "--log-level", "debug", "--listen", "127.0.0.1:0", "--data-dir", t.TempDir())
	cmd.Stderr = w
	return launchCommand(t, cmd).ready()
}

func TestAServerWhoseLogHasNoReaderAnyMoreGoesOn(t *testing.T) {
	t.Parallel()
	r, w := logPipe(t)
	p := serveInto(t, w)
	w.Close()
	r.Close()
	for range 100 {
		p.call("GET", "/v1/evaluations", nil, 200)
	}
	for range 3 {
		if err := p.cmd.Process.Signal(syscall.SIGPIPE); err != nil {
			t.Fatal(err)
		}
	}
	p.call("POST", "/v1/evaluations", map[string]any{"kind": "evaluation_report", "user_id": 1, "report_id": 1}, 202)
	if code := p.interrupt(); code != 0 {
		t.Errorf("it ended with %d, want 0", code)
	}
}

func TestAServerWhoseLogIsNotReadAnswersAndSaysLaterWhatIsMissing(t *testing.T) {
	t.Parallel()
	r, w := logPipe(t)
	p := serveInto(t, w)
	w.Close()
	// A line of the log has the path: 200 KB each fill the pipe and what may wait.
	long := "/v1/reports/" + strings.Repeat("x", 50_000)
	for range 200 {
		p.call("GET", long, nil, 422)
	}
	p.call("GET", "/healthz", nil, 200)
	p.call("POST", "/v1/evaluations", map[string]any{"kind": "evaluation_report", "user_id": 1, "report_id": 1}, 202)
	told := make(chan bool, 1)
	go func() {
		lines := bufio.NewReaderSize(r, 1<<20)
		for {
			line, err := lines.ReadString('\n')
			if strings.Contains(line, "log lines were dropped") || err != nil {
				told <- err == nil
				return
			}
		}
	}()
	select {
	case ok := <-told:
		if !ok {
			t.Error("the log does not say that lines are missing")
		}
	case <-time.After(60 * time.Second):
		t.Error("the log did not go on")
	}
}

func TestAServerUnderNohupOutlivesItsTerminal(t *testing.T) {
	t.Parallel()
	p := launchCommand(t, exec.Command("nohup", binary, "serve", "--listen", "127.0.0.1:0", "--data-dir", t.TempDir())).ready()
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		p.call("GET", "/readyz", nil, 200)
	}
	if code := p.interrupt(); code != 0 {
		t.Errorf("it ended with %d, want 0", code)
	}
}
