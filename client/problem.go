package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"evalq/tasks"
)

// problem is an error as the server writes it (RFC 9457).
type problem struct {
	Type     string `json:"type"`
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail"`
	Instance string `json:"instance"`
	Errors   []struct {
		Location string `json:"location"`
		Message  string `json:"message"`
	} `json:"errors"`
}

// refused reads an answer that is an error. What is not from evalq, such as a
// proxy's page, is known by its status alone.
func refused(resp *http.Response, data []byte) error {
	p := problem{Status: resp.StatusCode}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") {
		_ = json.Unmarshal(data, &p)
		p.Status = resp.StatusCode
	}
	if p.Detail == "" {
		p.Detail = fmt.Sprintf("the server answered %s", resp.Status)
		if to := resp.Header.Get("Location"); resp.StatusCode < 400 && to != "" {
			p.Detail += ", a redirection: use the URL that it points to"
		}
	}
	err := p.err()
	var f *failure
	if errors.As(err, &f) {
		f.after = max(f.after, retryAfter(resp.Header))
	}
	return err
}

// err is the problem as the error that the ledger itself would have given.
func (p *problem) err() error {
	switch p.Status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		return &tasks.InvalidError{Err: errors.New(p.text())}
	case http.StatusNotFound:
		return &alreadySaid{p.text(), tasks.ErrNotFound}
	case http.StatusConflict:
		return &alreadySaid{p.text(), tasks.ErrConflict}
	case http.StatusUnauthorized:
		return &alreadySaid{"not authorised: " + p.text(), ErrUnauthorized}
	case http.StatusForbidden:
		return &alreadySaid{"not allowed: " + p.text(), ErrUnauthorized}
	case http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusGatewayTimeout:
		return &failure{kind: p.outcome(), text: p.text(), after: 100 * time.Millisecond}
	}
	return fmt.Errorf("%s%s", p.text(), p.seen())
}

// outcome tells whether anything may have been done.
func (p *problem) outcome() error {
	if strings.HasSuffix(p.Type, ":outcome-unknown") || p.Status == http.StatusBadGateway || p.Status == http.StatusGatewayTimeout {
		return tasks.ErrOutcomeUnknown
	}
	return tasks.ErrUnavailable
}

func (p *problem) text() string {
	if len(p.Errors) < 2 {
		return p.Detail
	}
	all := make([]string, len(p.Errors))
	for i, e := range p.Errors {
		all[i] = e.Message
	}
	return strings.Join(all, "; ")
}

func (p *problem) seen() string {
	if p.Instance == "" {
		return ""
	}
	return " (" + p.Instance + ")"
}

// alreadySaid is an error of a kind whose words the text has already.
type alreadySaid struct {
	text string
	kind error
}

func (e *alreadySaid) Error() string { return e.text }
func (e *alreadySaid) Unwrap() error { return e.kind }
