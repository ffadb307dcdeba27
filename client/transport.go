package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"evalq/tasks"
)

const (
	// maxAnswer is far above what a server sends: a page of 500 jobs.
	maxAnswer = 256 << 20
	// pollFor is how long one request of wait stays open: shorter than what
	// proxies commonly allow.
	pollFor = 25 * time.Second
)

// transport sends requests and repeats those that did not get through.
type transport struct {
	patience
	base  *url.URL
	http  *http.Client
	own   bool
	token string
}

func newTransport(base *url.URL, cfg Config) transport {
	t := transport{patience: newPatience(cfg), base: base, token: cfg.Token}
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
	longer     time.Duration // how much longer than the timeout one answer may take
}

// call sends until there is an answer that repeating would not change, ctx ends
// or the timeout is over.
func (t *transport) call(ctx context.Context, c call) error {
	e := errand{doing: c.doing, reads: c.method == "", repeatable: c.repeatable, longer: c.longer}
	return t.run(ctx, e, func(ctx context.Context) error { return t.once(ctx, c) })
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
