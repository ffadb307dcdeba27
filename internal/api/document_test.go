package api

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var discard = slog.New(slog.DiscardHandler)

func record(a *API, method, path string, body []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	return w
}

type document struct {
	OpenAPI string `json:"openapi"`
	Info    struct{ Title, Version, Description string }
	Paths   map[string]map[string]struct {
		OperationID string `json:"operationId"`
		Summary     string
		Parameters  []struct {
			Name, In, Description string
			Schema                map[string]any
		}
		RequestBody *struct {
			Content map[string]struct{ Schema map[string]any }
		} `json:"requestBody"`
		Responses map[string]struct {
			Description string
			Content     map[string]struct{ Schema map[string]any }
		}
	}
	Components struct {
		Schemas map[string]struct {
			Type       any
			Properties map[string]map[string]any
			Required   []string
		}
	}
}

func readDocument(t *testing.T) (document, string) {
	t.Helper()
	e := serve(t, Config{Build: "1.2.3", House: &keeper{}}).do(t, "GET", "/openapi.json", "").want(t, 200)
	if got := e.header.Get("Content-Type"); got != "application/openapi+json" {
		t.Errorf("content type %q", got)
	}
	var d document
	e.decode(t, &d)
	return d, string(e.body)
}

func TestTheDocumentDescribesEveryPathCompletely(t *testing.T) {
	t.Parallel()
	d, text := readDocument(t)
	if d.OpenAPI != "3.1.0" || d.Info.Version != "1.2.3" || d.Info.Title == "" {
		t.Errorf("%+v", d.Info)
	}
	want := map[string]string{
		"/v1/evaluations": "get post", "/v1/evaluations:batch": "post", "/v1/evaluations/{id}": "get",
		"/v1/evaluations/{id}/attempts": "get", "/v1/evaluations/{id}/events": "get",
		"/v1/evaluations/{id}/retry": "post", "/v1/evaluations/{id}/cancel": "post", "/v1/find": "get",
		"/v1/interviews/{report_id}": "get put", "/v1/reports/{report_id}": "get", "/healthz": "get", "/readyz": "get",
		"/v1/admin/backfill": "post", "/v1/admin/purge": "post", "/v1/admin/erase": "post", "/v1/admin/backup": "post",
		"/v1/admin/quarantine": "get", "/v1/admin/quarantine/{id}/replay": "post", "/v1/admin/quarantine/{id}/discard": "post",
	}
	bodiless := []string{"/v1/admin/backup", "/v1/admin/quarantine/{id}/discard"}
	if len(d.Paths) != len(want) {
		t.Errorf("%d paths, want %d", len(d.Paths), len(want))
	}
	for path, methods := range want {
		for method := range strings.FieldsSeq(methods) {
			op, ok := d.Paths[path][method]
			if !ok || op.OperationID == "" || op.Summary == "" {
				t.Errorf("%s %s: %+v", method, path, op)
				continue
			}
			if (method != "get" && !slices.Contains(bodiless, path)) != (op.RequestBody != nil) {
				t.Errorf("%s %s: body %v", method, path, op.RequestBody)
			}
			wanted := []string{"405", "500"}
			if strings.HasPrefix(path, "/v1/") {
				wanted = append(wanted, "401", "403", "429")
			}
			for _, status := range wanted {
				if _, ok := op.Responses[status]; !ok {
					t.Errorf("%s %s does not document %s", method, path, status)
				}
			}
			for status, r := range op.Responses {
				media, wantMedia := "application/json", r.Content["application/json"].Schema
				if status >= "400" && (path != "/readyz" || status != "503") {
					media, wantMedia = "application/problem+json", r.Content["application/problem+json"].Schema
					if wantMedia["$ref"] != "#/components/schemas/Problem" {
						t.Errorf("%s %s %s: %v", method, path, status, wantMedia)
					}
				}
				if path == "/v1/admin/backup" && status == "200" {
					media, wantMedia = "application/vnd.sqlite3", r.Content["application/vnd.sqlite3"].Schema
				}
				if r.Description == "" || wantMedia == nil {
					t.Errorf("%s %s %s has no %s: %+v", method, path, status, media, r)
				}
			}
			for _, p := range op.Parameters {
				if p.Description == "" || len(p.Schema) == 0 {
					t.Errorf("%s %s: parameter %+v", method, path, p)
				}
			}
		}
	}
	for _, ref := range regexp.MustCompile(`#/components/schemas/([A-Za-z0-9]+)`).FindAllStringSubmatch(text, -1) {
		if _, ok := d.Components.Schemas[ref[1]]; !ok {
			t.Errorf("%s is not defined", ref[0])
		}
	}
}

func TestTheDocumentHasTheFormOfProblemsIdsAndResults(t *testing.T) {
	t.Parallel()
	d, _ := readDocument(t)
	for _, field := range []string{"type", "title", "status", "detail", "instance", "errors"} {
		if d.Components.Schemas["Problem"].Properties[field] == nil {
			t.Errorf("a problem has no %s", field)
		}
	}
	id := d.Components.Schemas["Submission"].Properties["user_id"]
	if id["type"] != "integer" || id["format"] != "int64" || id["minimum"] != 1.0 {
		t.Errorf("user_id is %v", id)
	}
	for _, field := range []string{"id", "state", "result", "sentence", "judge"} {
		if d.Components.Schemas["Job"].Properties[field] == nil {
			t.Errorf("a job has no %s", field)
		}
	}
	if _, ok := d.Components.Schemas["ErrorModel"]; ok {
		t.Error("a form of errors is described that is never sent")
	}
	if d.Components.Schemas["Interview"].Properties["answers"] == nil {
		t.Error("an interview has no answers")
	}
	if !slices.Contains(d.Components.Schemas["InterviewBody"].Required, "answers") {
		t.Errorf("an interview that is sent needs only %v", d.Components.Schemas["InterviewBody"].Required)
	}
	if slices.Contains(d.Components.Schemas["BatchResult"].Required, "created") {
		t.Error("a result that is an error would need created")
	}
}

func TestThePageLoadsNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	w := serve(t, Config{})
	page := w.do(t, "GET", "/docs", "").want(t, 200)
	if got := page.header.Get("Content-Security-Policy"); !strings.Contains(got, "default-src 'none'") || strings.Contains(got, "unsafe") {
		t.Errorf("policy %q", got)
	}
	text := string(page.body)
	for _, ref := range regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(text, -1) {
		if strings.Contains(ref[1], "//") {
			t.Errorf("%q is elsewhere", ref[1])
			continue
		}
		e := w.do(t, "GET", "/"+ref[1], "").want(t, 200)
		if ref[1] == "openapi.json" { // not a page; names no address either, but for examples
			continue
		}
		if strings.Contains(string(e.body), "http://") || strings.Contains(string(e.body), "https://") {
			t.Errorf("%q names another site", ref[1])
		}
	}
	if strings.Contains(text, "<script>") || strings.Contains(text, "style=") || regexp.MustCompile(` on\w+=`).MatchString(text) {
		t.Error("something is inline, which the policy forbids")
	}
}

func TestEveryAnswerHasTheHeadersThatKeepItPrivate(t *testing.T) {
	t.Parallel()
	w := serve(t, Config{})
	for _, path := range []string{"/healthz", "/docs", "/openapi.json", "/v1/evaluations", "/v1/nothing"} {
		e := w.do(t, "GET", path, "")
		if e.header.Get("X-Content-Type-Options") != "nosniff" || e.header.Get("Cache-Control") != "no-store" || e.header.Get("X-Request-ID") == "" {
			t.Errorf("%s: %v", path, e.header)
		}
	}
	if e := w.do(t, "HEAD", "/v1/evaluations", ""); e.status != 200 || len(e.body) != 0 {
		t.Errorf("HEAD: %d %q", e.status, e.body)
	}
}

func TestEveryStatusThatIsAnsweredIsAKindOfProblem(t *testing.T) {
	t.Parallel()
	for _, row := range statuses {
		if problems[row.status].slug == "" {
			t.Errorf("status %d has no kind", row.status)
		}
	}
}

func TestRefuseWritesAWellFormedProblemForEveryStatus(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]Problem{
		401: {Type: "urn:evalq:problem:unauthenticated", Title: "Sign-in needed"},
		403: {Type: "urn:evalq:problem:forbidden", Title: "Not allowed"},
		429: {Type: "urn:evalq:problem:too-many-attempts", Title: "Too many attempts"},
		418: {Type: "about:blank", Title: "I'm a teapot"},
		499: {Type: "about:blank", Title: "Error"},
	} {
		want.Status, want.Detail = status, "what to do"
		w := httptest.NewRecorder()
		w.Header().Set("Retry-After", "3")
		Refuse(w, httptest.NewRequest("GET", "/v1/evaluations", nil), status, "what to do")
		var got Problem
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Problem{})); diff != "" || w.Code != status || w.Header().Get("Retry-After") != "3" {
			t.Errorf("%d %v %s", w.Code, w.Header(), diff)
		}
		if (w.Header().Get("WWW-Authenticate") != "") != (status == 401) {
			t.Errorf("%d: %v", status, w.Header())
		}
	}
}
