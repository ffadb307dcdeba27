package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

const title = "evalq"

// humaConfig leaves out what huma would add by itself: a page that loads
// scripts from elsewhere, other formats of the document, links in bodies.
func humaConfig(build string) huma.Config {
	format := huma.Format{Marshal: writeJSON, Unmarshal: json.Unmarshal}
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:   title,
				Version: build,
				Description: "Evaluations of interviews as durable jobs: an answer of 202 or 200 means that the ledger has committed. " +
					"Ids are whole numbers from 1 to 9223372036854775807 and keep every digit. " +
					"Bodies are JSON of at most 1 MiB, in UTF-8 and not compressed, read strictly: unknown and duplicate fields are refused. " +
					"Errors are problem documents (RFC 9457); their `type` is stable. A GET never evaluates anything.",
			},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"token": {Type: "http", Scheme: "bearer", Description: "Needed when the server is set up with credentials. A viewer's token only reads."},
				},
			},
			Security: []map[string][]string{{"token": {}}, {}},
			Tags: []*huma.Tag{
				{Name: tagEvaluations, Description: "Jobs: submit, watch, retry, cancel."},
				{Name: tagInterviews, Description: "What is evaluated."},
				{Name: tagReports, Description: "What came out."},
				{Name: tagAdmin, Description: "For operators: remove, copy, submit what was never submitted."},
				{Name: tagHealth, Description: "For probes."},
			},
		},
		Formats:       map[string]huma.Format{"application/json": format, "json": format},
		DefaultFormat: "application/json",
	}
}

const (
	tagEvaluations = "evaluations"
	tagInterviews  = "interviews"
	tagReports     = "reports"
	tagAdmin       = "admin"
	tagHealth      = "health"
)

// writeJSON returns an error for a value that cannot be encoded, of which it
// writes nothing, and none for a caller that is gone.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(lossyWriter{w}) // it writes once, when all is encoded
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// lossyWriter reports no error of the writer below.
type lossyWriter struct{ io.Writer }

func (w lossyWriter) Write(p []byte) (int, error) {
	_, _ = w.Writer.Write(p)
	return len(p), nil
}

// endpoint describes one operation to the document.
type endpoint struct {
	id, method, path, tag string
	summary, text         string
	body                  any            // a value of the type that documents the body; nil without one
	bodyOptional          bool           // the body may be left out
	success               map[int]string // status → meaning, besides the usual one
	errors                []int          // statuses besides those that are possible everywhere
	usual                 int            // the usual status; defaults to 200
}

// route registers an endpoint. huma routes and documents; values are read by
// us, because huma takes numbers through float64 and quotes bodies in errors.
func route[I, O any](a *API, e endpoint, handle func(context.Context, *I) (*O, error)) {
	spec := a.huma.OpenAPI()
	op := huma.Operation{
		OperationID: e.id, Method: e.method, Path: e.path, Tags: []string{e.tag},
		Summary: e.summary, Description: e.text,
		DefaultStatus:      e.usual,
		SkipValidateParams: true, SkipValidateBody: true,
		Responses:   a.responses(e),
		Middlewares: huma.Middlewares{passRequest},
	}
	known := map[string]bool{}
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*O, error) {
		r := request(ctx)
		if err := checkQuery(r, known); err != nil {
			return nil, a.answer(r, err)
		}
		out, err := handle(ctx, in)
		if err != nil {
			return nil, a.answer(r, err)
		}
		return out, nil
	})
	registered := operation(spec.Paths[e.path], e.method)
	for _, p := range registered.Parameters {
		if p.In == "query" {
			known[p.Name] = true
		}
	}
	shareSchemas(registered, e)
	if e.body != nil { // set after Register, which would else read the body itself
		registered.RequestBody = &huma.RequestBody{
			Required: !e.bodyOptional,
			Content: map[string]*huma.MediaType{"application/json": {
				Schema: spec.Components.Schemas.Schema(reflect.TypeOf(e.body), true, e.id),
			}},
		}
	}
}

func operation(item *huma.PathItem, method string) *huma.Operation {
	switch method {
	case http.MethodPost:
		return item.Post
	case http.MethodPut:
		return item.Put
	default:
		return item.Get
	}
}

// errors that an address may answer with whatever is asked of it, and those
// that it may answer with behind credentials.
var (
	everywhere = []int{http.StatusMethodNotAllowed, http.StatusInternalServerError}
	guarded    = []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests}
)

// responses documents each status.
func (a *API) responses(e endpoint) map[string]*huma.Response {
	out := map[string]*huma.Response{}
	for status, meaning := range e.success {
		out[strconv.Itoa(status)] = &huma.Response{Description: meaning}
	}
	schema := a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Problem](), true, "Problem")
	statuses := slices.Concat(e.errors, everywhere)
	if strings.HasPrefix(e.path, "/v1/") {
		statuses = append(statuses, guarded...)
	}
	for _, status := range statuses {
		out[strconv.Itoa(status)] = &huma.Response{
			Description: problems[status].title,
			Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: schema}},
		}
	}
	return out
}

// shareSchemas gives the less usual successes the body of the usual one.
func shareSchemas(op *huma.Operation, e endpoint) {
	usual := op.Responses[strconv.Itoa(op.DefaultStatus)]
	for status := range e.success {
		if r := op.Responses[strconv.Itoa(status)]; r.Content == nil {
			r.Content, r.Headers = usual.Content, usual.Headers
		}
	}
}

// passRequest hands the plain request to handlers that read bodies.
func passRequest(ctx huma.Context, next func(huma.Context)) {
	r, _ := humago.Unwrap(ctx)
	next(huma.WithValue(ctx, keyRequest, r))
}

func request(ctx context.Context) *http.Request { return ctx.Value(keyRequest).(*http.Request) }

// answer turns err into a problem and logs what nobody expected.
func (a *API) answer(r *http.Request, err error) error {
	p := toProblem(err)
	p.Instance = instance(r.Context())
	if p.Status >= http.StatusInternalServerError && !errors.Is(err, context.Canceled) {
		a.cfg.Logger.ErrorContext(r.Context(), "request failed", "instance", p.Instance, "path", r.URL.Path, "err", err)
	}
	return p
}
