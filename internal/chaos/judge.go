package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// call is one call of the judge as its log has it. Times are microseconds since
// 1970 by this machine's clock.
type call struct {
	Call    int64  `json:"call"` // counts from 1, over all callers
	At      int64  `json:"at"`
	Job     string `json:"job"`
	Attempt int    `json:"attempt"`
	Report  int64  `json:"report"`
	Input   string `json:"input"` // the hash of the answer
}

func (c call) key() key { return key{c.Report, c.Input} }

// key names what a call is paid for.
type key struct {
	report int64
	input  string
}

// took is the second line of a call in the log.
type took struct {
	Call int64 `json:"call"`
	End  int64 `json:"end"`
}

// question is what a caller sends; the answer is its call's number.
type question struct {
	Job     string `json:"job"`
	Attempt int    `json:"attempt"`
	Report  int64  `json:"report"`
	Input   string `json:"input"`
}

// counter is the judge's side: it numbers calls and takes its time.
type counter struct {
	log  io.Writer
	seed uint64
	rest context.Context // ends when the judge is to stop

	mu    sync.Mutex
	calls int64
	nth   map[key]int
	err   error // of the log
}

// ServeJudge answers calls on a loopback port, which it prints, until ctx ends.
// It writes the start and the end of each call to the log. Every call takes as
// long as the seed says for that answer.
func ServeJudge(ctx context.Context, log string, seed uint64, out io.Writer) error {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("chaos: open the judge's log: %w", err)
	}
	defer f.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("chaos: judge: %w", err)
	}
	c := &counter{log: f, seed: seed, rest: ctx, nth: map[key]int{}}
	srv := &http.Server{Handler: c, ReadHeaderTimeout: 10 * time.Second}
	fmt.Fprintf(out, "judge http://%s\n", l.Addr())
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("chaos: judge: %w", err)
	case <-ctx.Done():
	}
	_ = srv.Close()
	<-failed
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// ServeHTTP is one call. It is paid for whether or not its caller stays to hear
// the answer.
func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var q question
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	n, d := c.begin(q)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.rest.Done():
	}
	c.write(took{n, time.Now().UnixMicro()})
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(took{Call: n})
}

func (c *counter) begin(q question) (n int64, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	k := key{q.Report, q.Input}
	c.nth[k]++
	// In one piece with the number, so that numbers are in the order of time.
	c.put(call{Call: c.calls, At: time.Now().UnixMicro(), Job: q.Job, Attempt: q.Attempt, Report: q.Report, Input: q.Input})
	return c.calls, length(c.seed, k, c.nth[k])
}

// length is how long the nth call for a key takes: 5 to 80 ms, and now and then
// up to 2 s.
func length(seed uint64, k key, nth int) time.Duration {
	h := fnv.New64a()
	fmt.Fprint(h, k.report, " ", k.input, " ", nth)
	rng := rand.New(rand.NewPCG(seed, h.Sum64()))
	if rng.IntN(50) == 0 {
		return 200*time.Millisecond + time.Duration(rng.Int64N(int64(1800*time.Millisecond)))
	}
	return 5*time.Millisecond + time.Duration(rng.Int64N(int64(75*time.Millisecond)))
}

func (c *counter) write(v any) {
	c.mu.Lock()
	c.put(v)
	c.mu.Unlock()
}

// put writes a line; the caller holds the lock.
func (c *counter) put(v any) {
	b, err := json.Marshal(v)
	if err == nil {
		_, err = c.log.Write(append(b, '\n'))
	}
	c.err = errors.Join(c.err, err)
}

// readLog reads the calls in the order in which they began.
func readLog(name string) ([]call, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("chaos: read the judge's log: %w", err)
	}
	defer f.Close()
	var out []call
	for d := json.NewDecoder(f); ; {
		var c call
		err := d.Decode(&c)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("chaos: read the judge's log: %w", err)
		}
		if c.At != 0 {
			out = append(out, c)
		}
	}
}
