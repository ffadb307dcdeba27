// Package e2e drives the real binary as its users do: over HTTP and signals.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is built once, without the race detector: SQLite is nine times slower
// under it.
var binary string

func TestMain(m *testing.M) {
	os.Exit(build(m))
}

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "evalq-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "evalq")
	out, err := exec.Command("go", "build", "-o", binary, "evalq").CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// process is a running `evalq serve` or `evalq demo`.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	url  string
	out  *output
	done chan error
}

// output gathers what a process prints and tells of each line.
type output struct {
	mu    sync.Mutex
	text  strings.Builder
	lines chan string
}

func (o *output) read(r io.Reader) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		o.mu.Lock()
		o.text.WriteString(s.Text() + "\n")
		o.mu.Unlock()
		select {
		case o.lines <- s.Text():
		default:
		}
	}
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// start runs the binary and waits until it answers.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	return launch(t, args...).ready()
}

// ready waits until a server answers.
func (p *process) ready() *process {
	p.t.Helper()
	p.url = strings.TrimSuffix(strings.Fields(p.awaitLine("health "))[1], "/readyz")
	p.await("answers", func() bool {
		resp, err := http.Get(p.url + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return p
}

// launch runs the binary. The environment has nothing of the caller's settings in
// it.
func launch(t *testing.T, args ...string) *process {
	t.Helper()
	return launchCommand(t, exec.Command(binary, args...))
}

// launchCommand is launch for a command that runs the binary in another way. What it
// has set of standard error stays.
func launchCommand(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	cmd.Dir = t.TempDir()
	p := &process{t: t, cmd: cmd, out: &output{lines: make(chan string, 10_000)}, done: make(chan error, 1)}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if cmd.Stdout = w; cmd.Stderr == nil {
		cmd.Stderr = w
	}
	// Open as long as the process runs: some processes end with it.
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	go func() {
		p.out.read(r)
		r.Close()
		p.done <- cmd.Wait()
	}()
	t.Cleanup(p.kill)
	return p
}

// awaitLine waits for a printed line with that beginning.
func (p *process) awaitLine(prefix string) string {
	p.t.Helper()
	deadline := time.After(60 * time.Second)
	for {
		select {
		case line := <-p.out.lines:
			if strings.HasPrefix(line, prefix) {
				return line
			}
		case err := <-p.done:
			p.done <- err
			p.t.Fatalf("it ended with %v before it printed %q:\n%s", err, prefix, p.out)
		case <-deadline:
			p.t.Fatalf("it did not print %q:\n%s", prefix, p.out)
		}
	}
}

func (p *process) await(what string, ok func() bool) {
	p.t.Helper()
	deadline := time.After(120 * time.Second)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-deadline:
			p.t.Fatalf("in 120 s it did not happen that it %s:\n%s", what, p.out)
		case <-look.C:
		}
	}
}

// kill ends the process as a power cut would.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	p.done <- <-p.done
}

// interrupt asks the process to stop and gives its exit code.
func (p *process) interrupt() int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		p.t.Fatal(err)
	}
	select {
	case err := <-p.done:
		p.done <- err
	case <-time.After(60 * time.Second):
		p.t.Fatalf("it did not stop:\n%s", p.out)
	}
	return p.cmd.ProcessState.ExitCode()
}

// reply is an answer over HTTP; numbers keep their digits.
type reply struct {
	status int
	header http.Header
	raw    []byte
	body   map[string]any
}

func request(ctx context.Context, method, url string, body any) (reply, error) {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return reply{}, err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, r)
	if err != nil {
		return reply{}, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	out := reply{status: resp.StatusCode, header: resp.Header}
	if out.raw, err = io.ReadAll(resp.Body); err != nil {
		return reply{}, err
	}
	dec := json.NewDecoder(bytes.NewReader(out.raw))
	dec.UseNumber()
	_ = dec.Decode(&out.body) // not every answer is an object
	return out, nil
}

// call is request for an answer that has to come.
func (p *process) call(method, path string, body any, want int) reply {
	p.t.Helper()
	r, err := request(p.t.Context(), method, p.url+path, body)
	if err != nil {
		p.t.Fatalf("%s %s: %v\n%s", method, path, err, p.out)
	}
	if r.status != want {
		p.t.Fatalf("%s %s: %d, want %d: %s", method, path, r.status, want, r.raw)
	}
	return r
}

// finished waits for the end of a job.
func (p *process) finished(id string) map[string]any {
	p.t.Helper()
	var job map[string]any
	p.await("finishes job "+id, func() bool {
		job = p.call("GET", "/v1/evaluations/"+id+"?wait=20s", nil, 200).body
		switch job["state"] {
		case "succeeded", "dead", "skipped", "cancelled":
			return true
		}
		return false
	})
	return job
}

// run is a call of the binary that ends by itself.
func run(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	cmd.Dir = t.TempDir()
	b, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("it did not end:\n%s", b)
	}
	_ = err // the exit code says it
	return string(b), cmd.ProcessState.ExitCode()
}
