package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"evalq/tasks"
)

const (
	firstPause  = 100 * time.Millisecond
	longestWait = 3 * time.Second // between two repetitions
	// maxAnswer is far above what a server sends: a page of 500 jobs.
	maxAnswer = 256 << 20
)

// transport sends requests and repeats those that did not get through.
type transport struct {
	base    *url.URL
	http    *http.Client
	own     bool
	token   string
	timeout time.Duration
	hasty   bool // Config.FailFast
	log     *slog.Logger
}

func newTransport(base *url.URL, cfg Config) transport {
	t := transport{base: base, token: cfg.Token, timeout: cfg.Timeout, hasty: cfg.FailFast, log: cfg.Logger}
	if cfg.HTTPClient == nil {
		t.own = true
		t.http = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	} else {
		clone := *cfg.HTTPClient
		t.http = &clone
	}
	if t.http.CheckRedirect == nil { // following could turn a POST into a GET
		t.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	return t
}

func (t *transport) close() {
	if t.own {
		t.http.CloseIdleConnections()
	}
}

// call is one request.
type call struct {
	doing      string
	method     string // defaults to GET
	path       string
	query      url.Values
	body       any // nil sends none
	into       any // what the answer is decoded into
	repeatable bool
	patience   time.Duration // for the answer, over the transport's timeout
}

// reads reports whether it changes nothing.
func (c call) reads() bool { return c.method == "" }

// call sends until there is an answer that repeating would not change, ctx ends
// or the timeout is over.
func (t *transport) call(ctx context.Context, c call) error {
	outer, begin := ctx, time.Now()
	ctx, cancel := context.WithTimeout(ctx, t.timeout+c.patience)
	defer cancel()
	pause := firstPause
	unknown := false
	for {
		err := t.once(ctx, c)
		if err == nil {
			return nil
		}
		var f *failure
		if !errors.As(err, &f) {
			return told(outer, c, err)
		}
		again := f.again(c.repeatable) && ctx.Err() == nil && time.Since(begin) < t.timeout
		if t.hasty && c.reads() && f.refused {
			again = false
		}
		// What an earlier try may have done is not undone by a later one that
		// did not get through; and a read does nothing in any case.
		if unknown = (unknown || f.kind == tasks.ErrOutcomeUnknown) && !c.reads(); unknown {
			f.kind = tasks.ErrOutcomeUnknown
		} else {
			f.kind = tasks.ErrUnavailable
		}
		if !again {
			return told(outer, c, err)
		}
		delay := min(max(f.after, pause/2+rand.N(pause)), longestWait)
		t.log.InfoContext(ctx, "request repeated", "doing", c.doing, "delay_ms", delay.Milliseconds(), "err", err)
		if !sleep(ctx, delay) {
			return told(outer, c, err)
		}
		pause = min(2*pause, longestWait)
	}
}

// told gives the last error, and the caller's own when it was the caller who
// ended it.
func told(outer context.Context, c call, err error) error {
	if outer.Err() != nil {
		return fmt.Errorf("client: %s: %w (%w)", c.doing, context.Cause(outer), err)
	}
	return fmt.Errorf("client: %s: %w", c.doing, err)
}

// sleep reports whether d passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (t *transport) once(ctx context.Context, c call) error {
	r, err := t.request(ctx, c)
	if err != nil {
		return err
	}
	resp, err := t.http.Do(r)
	if err != nil {
		return t.unreached(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return t.unreached(err)
	}
	if len(data) > maxAnswer {
		return fmt.Errorf("the answer is larger than %d MiB", maxAnswer>>20)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return refused(resp, data)
	}
	if err := json.Unmarshal(data, c.into); err != nil {
		return fmt.Errorf("%s did not answer like a server of evalq (status %d): is the URL right?", t.base, resp.StatusCode)
	}
	return nil
}

func (t *transport) request(ctx context.Context, c call) (*http.Request, error) {
	var body io.Reader
	if c.body != nil {
		data, err := json.Marshal(c.body)
		if err != nil {
			return nil, &tasks.InvalidError{Err: err}
		}
		body = bytes.NewReader(data)
	}
	u := *t.base
	target := u.String() + c.path
	if len(c.query) > 0 {
		target += "?" + c.query.Encode()
	}
	method := c.method
	if method == "" {
		method = http.MethodGet
	}
	r, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, fmt.Errorf("make a request to %s: %w", t.base, err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Accept", "application/json")
	if t.token != "" {
		r.Header.Set("Authorization", "Bearer "+t.token)
	}
	return r, nil
}

// failure is an answer, or the lack of one, that may be different next time.
type failure struct {
	kind    error // tasks.ErrUnavailable or tasks.ErrOutcomeUnknown
	text    string
	after   time.Duration
	refused bool // nothing listens there
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.kind }

// again says whether to repeat: always when nothing was done, and when that is
// not known, only what may be done twice.
func (f *failure) again(repeatable bool) bool {
	return repeatable || errors.Is(f.kind, tasks.ErrUnavailable)
}

// unreached describes a request without an answer. Only one that could not
// connect has surely done nothing.
func (t *transport) unreached(err error) error {
	var target *url.Error
	if errors.As(err, &target) { // its text repeats the whole address
		err = target.Err
	}
	kind := tasks.ErrOutcomeUnknown
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		kind = tasks.ErrUnavailable
	}
	return &failure{
		kind: kind, refused: errors.Is(err, syscall.ECONNREFUSED),
		text: fmt.Sprintf("no answer from %s: %v; is the server running and the URL right?", t.base, err),
	}
}

// retryAfter reads the header's seconds.
func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 0 || n > 3600 {
		return 0
	}
	return time.Duration(n) * time.Second
}
