package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const attackers = 300

// startLimited is start with at most that many open files.
func startLimited(t *testing.T, files int, args ...string) *process {
	t.Helper()
	script := fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, files)
	p := launchCommand(t, exec.Command("/bin/sh", append([]string{"-c", script, binary}, args...)...))
	p.ready()
	return p
}

// attack opens connections that send text and then do nothing.
func (p *process) attack(n int, text string) {
	p.t.Helper()
	var group sync.WaitGroup
	for range n {
		group.Go(func() {
			conn, err := net.DialTimeout("tcp", strings.TrimPrefix(p.url, "http://"), 10*time.Second)
			if err != nil {
				return // refused: it holds nothing
			}
			p.t.Cleanup(func() { conn.Close() })
			_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
			_ = conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
			_, _ = conn.Write([]byte(text))
		})
	}
	group.Wait()
}

// afresh calls over a connection of its own, as a probe does.
func (p *process) afresh(method, path, token, body string) (int, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), 60*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, p.url+path, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

func TestThreeHundredClientsThatDoNotReadOrDoNotSendStarveNeitherHealthNorSubmissions(t *testing.T) {
	t.Parallel()
	const token = "operator-token-of-a-test-0123456789"
	pipelined := strings.Repeat("GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 150)
	for name, text := range map[string]string{
		"they read none of many answers": pipelined,
		"they send half a header":        "GET /healthz HTTP/1.1\r\nHost: 127.0",
		"they send nothing":              "",
		"they send half a body":          "POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\nname=",
		"they stay after an answer":      "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if runtime.GOOS == "windows" {
				t.Skip("there is no limit of open files")
			}
			file := filepath.Join(t.TempDir(), "token")
			if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
				t.Fatal(err)
			}
			p := startLimited(t, 256, "serve", "--listen", "127.0.0.1:0", "--data-dir", t.TempDir(), "--operator-token-file", file)
			p.attack(attackers, text)
			for range 5 {
				for _, probe := range []string{"/healthz", "/readyz"} {
					if status, err := p.afresh("GET", probe, "", ""); status != 200 {
						t.Fatalf("%s while %d clients hold connections: %d, %v\n%s", probe, attackers, status, err, p.out)
					}
				}
			}
			status, err := p.afresh("POST", "/v1/evaluations", token, `{"kind":"evaluation_report","user_id":1,"report_id":1}`)
			if status != 202 {
				t.Fatalf("a submission while %d clients hold connections: %d, %v\n%s", attackers, status, err, p.out)
			}
		})
	}
}

func TestPagesThatNobodyReadsDoNotFillTheMemory(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells in /proc how much memory a process has used")
	}
	p := start(t, "serve", "--listen", "127.0.0.1:0", "--data-dir", t.TempDir())
	p.call("PUT", "/v1/interviews/1", large(1), 201)
	p.attack(attackers, strings.Repeat("GET /interviews/1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 8))
	for range 3 {
		if status, err := p.afresh("GET", "/interviews/1", "", ""); status != 200 && status != 503 {
			t.Fatalf("the page while %d clients do not read it: %d, %v", attackers, status, err)
		}
	}
	if status, err := p.afresh("GET", "/healthz", "", ""); status != 200 {
		t.Fatalf("health: %d, %v", status, err)
	}
	used := p.peak()
	t.Logf("at most %d MB were used", used)
	if used > 700 {
		t.Errorf("the server used %d MB of memory for %d clients that do not read", used, attackers)
	}
}

// large is an interview whose document is nearly as long as is taken, and whose
// page is five times as long.
func large(user int64) map[string]any {
	var answers []map[string]any
	for i := range 100 {
		answers = append(answers, map[string]any{"question": fmt.Sprintf("Question %d?", i), "answer": strings.Repeat("'+", 4500), "key_points": []map[string]any{{"text": "point"}}})
	}
	return map[string]any{"user_id": user, "language": "en", "answers": answers}
}

// peak is how much memory the process has used at most, in MB.
func (p *process) peak() int {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); f[0] == "VmHWM:" {
			kb, err := strconv.Atoi(f[1])
			if err != nil {
				p.t.Fatal(err)
			}
			return kb >> 10
		}
	}
	p.t.Fatal("no VmHWM in /proc")
	return 0
}

func TestALongPollOfItsFullLengthIsAnswered(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "--listen", "127.0.0.1:0", "--data-dir", t.TempDir())
	id := p.submit(1) // held: its interview is missing
	job := p.call("GET", "/v1/evaluations/"+id+"?wait=60s", nil, 200).body
	if job["id"] != id || job["finished_at"] != nil {
		t.Errorf("the poll was answered with %v", job)
	}
}
