package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"evalq/tasks"
)

// maxBody bounds every body.
const maxBody = 1 << 20

// readBody reads a JSON body whole. With optional, no body at all gives nil.
func readBody(r *http.Request, optional bool) ([]byte, error) {
	if optional && (r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0) {
		return nil, nil
	}
	if err := checkForm(r.Header); err != nil {
		return nil, err
	}
	if r.ContentLength > maxBody {
		return nil, tooLarge()
	}
	data, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, problemf(http.StatusBadRequest, "the body ended before it was complete")
	}
	if len(data) > maxBody {
		return nil, tooLarge()
	}
	if optional && len(data) == 0 {
		return nil, nil
	}
	if err := tasks.CheckJSON(data); err != nil {
		return nil, malformed(err)
	}
	return data, nil
}

// checkForm refuses bodies that would have to be decoded before they are JSON.
func checkForm(h http.Header) error {
	media, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return problemf(http.StatusUnsupportedMediaType, "send the body as JSON, with the header Content-Type: application/json")
	}
	if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return problemf(http.StatusUnsupportedMediaType, "send the body in UTF-8; other charsets are not taken")
	}
	for _, coding := range h.Values("Content-Encoding") {
		if !strings.EqualFold(strings.TrimSpace(coding), "identity") {
			return problemf(http.StatusUnsupportedMediaType, "send the body as it is; no Content-Encoding is taken")
		}
	}
	return nil
}

func tooLarge() error {
	return problemf(http.StatusRequestEntityTooLarge, "the body is larger than 1 MiB (%d bytes)", maxBody)
}

func malformed(err error) *Problem { return problemf(http.StatusBadRequest, "%s", err) }

// object takes a JSON object apart, refusing names that are not among known.
// Unlike encoding/json it tells apart names that differ in case.
func object(data []byte, known ...string) (map[string]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil || fields == nil {
		return nil, problemf(http.StatusBadRequest, "expected a JSON object")
	}
	var unknown []string
	for name, value := range fields {
		if !slices.Contains(known, name) {
			unknown = append(unknown, fmt.Sprintf("%.60q", name))
		}
		if string(value) == "null" { // the same as leaving it out
			delete(fields, name)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return nil, problemf(http.StatusBadRequest, "unknown field %s; the fields are %s", strings.Join(unknown[:min(5, len(unknown))], ", "), strings.Join(known, ", "))
	}
	return fields, nil
}

// fields reads values and collects what is wrong with them.
type fields struct {
	where string // "body" or "query"
	get   func(name string) (json.RawMessage, bool)
	wrong []FieldError
}

func (f *fields) fail(name string, err error) {
	f.wrong = append(f.wrong, FieldError{Location: f.where + "." + name, Message: err.Error()})
}

// err is nil when nothing was wrong.
func (f *fields) err() error {
	if len(f.wrong) == 0 {
		return nil
	}
	return badFields(f.wrong...)
}

func (f *fields) id(name string) int64 {
	raw, _ := f.get(name)
	id, err := tasks.ParseID(name, raw)
	if err != nil {
		f.fail(name, err)
	}
	return id
}

func (f *fields) text(name, want string) string {
	raw, ok := f.get(name)
	if !ok {
		return ""
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		f.fail(name, fmt.Errorf("%s: must be %s", name, want))
	}
	return s
}

func (f *fields) truth(name string) bool {
	raw, ok := f.get(name)
	if !ok {
		return false
	}
	var b bool
	if json.Unmarshal(raw, &b) != nil {
		f.fail(name, fmt.Errorf("%s: must be true or false", name))
	}
	return b
}

func (f *fields) time(name string) time.Time {
	s := f.text(name, "a time such as 2030-01-31T08:00:00Z")
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		f.fail(name, fmt.Errorf("%s: must be a time such as 2030-01-31T08:00:00Z", name))
	}
	return t
}

// checkQuery refuses a query with names that nobody reads or that come twice: a
// filter with a slip in its name would else select everything.
func checkQuery(r *http.Request, known map[string]bool) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return problemf(http.StatusBadRequest, "the query after ? cannot be read: percent-encode special characters")
	}
	f := fields{where: "query"}
	for name, given := range values {
		switch {
		case !known[name]:
			f.fail(clip(name), fmt.Errorf("%.60q: unknown query parameter; %s", name, listed(known)))
		case len(given) > 1:
			f.fail(name, fmt.Errorf("%s: given twice", name))
		case strings.ContainsRune(given[0], 0):
			f.fail(name, fmt.Errorf("%s: contains a NUL character", name))
		}
	}
	slices.SortFunc(f.wrong, func(x, y FieldError) int { return strings.Compare(x.Location, y.Location) })
	return f.err()
}

func clip(name string) string {
	if len(name) > 60 {
		return strings.ToValidUTF8(name[:60], "")
	}
	return strings.ToValidUTF8(name, "")
}

func listed(known map[string]bool) string {
	if len(known) == 0 {
		return "there are none here"
	}
	return "there are " + strings.Join(slices.Sorted(maps.Keys(known)), ", ")
}

// pathID reads the id in a path.
func pathID(name string, p idParam) (int64, error) {
	id, err := parseID(name, string(p))
	if err != nil {
		return 0, badFields(FieldError{Location: "path." + name, Message: err.Error()})
	}
	return id, nil
}

// parseID reads an id from a path or query by the rules of bodies. JSON would
// also take spaces around it.
func parseID(name, text string) (int64, error) {
	if strings.TrimSpace(text) != text {
		return 0, fmt.Errorf("%s: must be a whole number from 1 to 9223372036854775807, written with digits only", name)
	}
	return tasks.ParseID(name, []byte(text))
}

// jobID checks the form of a job id. What has not the form does not exist.
func jobID(id string) error {
	if !tasks.ValidID(id) {
		return errNoJob
	}
	return nil
}

var errNoJob = fmt.Errorf("job: %w", tasks.ErrNotFound)

// The words for values whose own errors would quote them.
var (
	errKind     = errors.New("kind: must be 1 to 63 lower-case letters, digits and underscores, beginning with a letter")
	errPriority = fmt.Errorf("priority: must be one of %s", joined(tasks.Priorities()))
	errData     = errors.New("data: only kinds of a platform's own carry data")
	errCursor   = errors.New("cursor: must be the next of the page before")
	errAll      = errors.New("all: must be true or false")
	errLimit    = errors.New("limit: must be a whole number from 1 to 500")
)
