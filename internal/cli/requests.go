package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"evalq/tasks"
)

// maxLine is how long one line of requests may be: data of a kind of the
// platform's own, and some.
const maxLine = tasks.MaxData + 4096

// requestLine is one request as a line of JSON.
type requestLine struct {
	Kind     tasks.Kind      `json:"kind"`
	UserID   json.RawMessage `json:"user_id"`
	ReportID json.RawMessage `json:"report_id"`
	Priority tasks.Priority  `json:"priority"`
	RunAt    time.Time       `json:"run_at"`
	Anew     bool            `json:"anew"`
	Passive  bool            `json:"passive"`
	NewKind  bool            `json:"new_kind"`
	Data     json.RawMessage `json:"data"`
}

// openFile opens a file, or standard input for "-".
func (p *program) openFile(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(p.in), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, &usageError{err}
	}
	return f, nil
}

// readRequests reads all lines, and names each that is wrong.
func (p *program) readRequests(name string) ([]tasks.Request, error) {
	file, err := p.openFile(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	scan := bufio.NewScanner(file)
	scan.Buffer(nil, maxLine)
	var out []tasks.Request
	var wrong []error
	line := 0
	for scan.Scan() {
		line++
		text := bytes.TrimSpace(bytes.TrimPrefix(scan.Bytes(), []byte("\ufeff")))
		if len(text) == 0 {
			continue
		}
		r, err := parseRequest(text)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s:%d: %w", name, line, err))
			continue
		}
		out = append(out, r)
	}
	switch err := scan.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		wrong = append(wrong, fmt.Errorf("%s:%d: longer than %d bytes", name, line+1, maxLine))
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", name, err)
	case len(out)+len(wrong) == 0:
		wrong = append(wrong, fmt.Errorf("%s: there is no request in it", name))
	}
	if len(wrong) > 0 {
		return nil, &usageError{fmt.Errorf("%w\nnothing was submitted", errors.Join(wrong...))}
	}
	return out, nil
}

func parseRequest(text []byte) (tasks.Request, error) {
	var l requestLine
	if err := tasks.CheckJSON(text); err != nil {
		return tasks.Request{}, err
	}
	if err := tasks.DecodeStrict(text, &l); err != nil {
		return tasks.Request{}, err
	}
	user, err1 := tasks.ParseID("user_id", l.UserID)
	report, err2 := tasks.ParseID("report_id", l.ReportID)
	if err := errors.Join(err1, err2); err != nil {
		return tasks.Request{}, err
	}
	if l.Kind.Builtin() && l.Data != nil {
		return tasks.Request{}, fmt.Errorf("data: not used by %q; only kinds of a platform's own carry data", l.Kind)
	}
	r := tasks.Request{
		Payload:  tasks.NewPayload(l.Kind, user, report, bytes.Clone(l.Data)),
		Priority: l.Priority, RunAt: l.RunAt, Anew: l.Anew, Passive: l.Passive, NewKind: l.NewKind,
	}
	return r, r.Validate()
}
