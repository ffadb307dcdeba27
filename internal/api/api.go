// Package api is the REST interface of evalq. It turns requests into calls of
// the ledger and the ledger's answers into JSON; errors leave it as RFC 9457
// problem documents. Its OpenAPI document is at /openapi.json, a page to read
// it at /docs.
//
// A GET only reads: nothing that is asked of this interface evaluates anything
// while the caller waits for it.
//
// The package does not authenticate. Whoever mounts it checks credentials
// first, says through Config.Who who calls, and refuses with [Refuse].
package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"evalq/internal/evaluation"
	"evalq/tasks"
)

// Ledger is what the interface reads and asks for. All methods may be called at
// the same time. Errors are those of package tasks; others are answered with
// status 500 and logged.
type Ledger interface {
	// Accept commits before it returns. Created is false when the job existed
	// and was not revived.
	Accept(ctx context.Context, r tasks.Request, who string) (job tasks.Job, created bool, err error)
	// AcceptMany answers each request, in their order.
	AcceptMany(ctx context.Context, rs []tasks.Request, who string) []tasks.Accepting
	// KindCheck gives a check for the requests of one call. It refuses with a
	// *tasks.InvalidError a request for a kind that is malformed or not known. Its
	// text is shown to the caller.
	KindCheck() func(context.Context, tasks.Request) error
	Get(ctx context.Context, id string) (tasks.Job, error)
	// Find gives the newest revision.
	Find(ctx context.Context, kind tasks.Kind, userID, reportID int64) (tasks.Job, error)
	List(ctx context.Context, f tasks.Filter) (tasks.Page, error)
	// Wait gives the job once it has finished, or as it is after max.
	Wait(ctx context.Context, id string, max time.Duration) (tasks.Job, error)
	Attempts(ctx context.Context, id string) ([]tasks.Attempt, error)
	Events(ctx context.Context, id string) ([]tasks.Event, error)
	// RetryWith answers the job that runs: the named one, or its next revision.
	RetryWith(ctx context.Context, id string, how tasks.RetryOptions, who, why string) (tasks.Job, error)
	Cancel(ctx context.Context, id, who, why string) (tasks.Job, error)
	// PutInterview says whether the stored interview differs from the one
	// before; the first one does.
	PutInterview(ctx context.Context, doc evaluation.Interview, who string) (changed bool, err error)
	// Interview with userID 0 gives the interview whoever owns it.
	Interview(ctx context.Context, userID, reportID int64) (evaluation.Interview, error)
	// Ready reports whether the ledger can commit.
	Ready(ctx context.Context) error
}

// Config tunes an API. The zero value works.
type Config struct {
	// Checks are asked by /readyz besides the ledger, each within 2 s. Defaults
	// to none.
	Checks map[string]func(context.Context) error
	// Who names the caller in the events and the audit. Defaults to "api".
	Who func(context.Context) string
	// House serves what is under /v1/admin/. Defaults to none: those addresses are
	// not there.
	House House
	// Original reads results for the platform's own addresses. Defaults to none:
	// those addresses are not there.
	Original Original
	// Connections counts the server's connections, for GET /v1/admin/connections.
	// Defaults to none: that address is not there.
	Connections func() Connections
	// MaxWait bounds ?wait=; longer waits are cut to it. Defaults to 60 s.
	MaxWait time.Duration
	// Build is the program's version, shown in the OpenAPI document. Defaults
	// to "dev".
	Build string
	// Now is the clock, for the durations in the log. Defaults to time.Now.
	Now func() time.Time
	// Logger gets one line a request, without query values and bodies.
	// Defaults to slog.Default().
	Logger *slog.Logger
}

func (c *Config) withDefaults() (Config, error) {
	var d Config
	if c != nil {
		d = *c
	}
	if d.MaxWait < 0 {
		return d, fmt.Errorf("api: Config.MaxWait: %s is below zero", d.MaxWait)
	}
	if d.MaxWait == 0 {
		d.MaxWait = time.Minute
	}
	if d.Who == nil {
		d.Who = func(context.Context) string { return "api" }
	}
	if d.Build == "" {
		d.Build = "dev"
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	return d, nil
}

// API serves /v1/, /healthz, /readyz, /openapi.json and /docs. It is safe for
// concurrent use and answers every other path with 404.
type API struct {
	ledger  Ledger
	cfg     Config
	mux     *http.ServeMux
	huma    huma.API
	spec    []byte // the OpenAPI document
	handler http.Handler
}

// New builds the handler. It calls nothing of the ledger yet.
func New(ledger Ledger, cfg *Config) (*API, error) {
	if ledger == nil {
		return nil, fmt.Errorf("api: Ledger: missing")
	}
	c, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	a := &API{ledger: ledger, cfg: c, mux: http.NewServeMux()}
	a.huma = humago.New(a.mux, humaConfig(c.Build))
	a.routeEvaluations()
	a.routeBatch()
	a.routeActions()
	a.routeInterviews()
	a.routeReports()
	a.routeAdmin()
	a.routeOriginal()
	a.routeHealth()
	if err := a.routeDocs(); err != nil {
		return nil, err
	}
	a.handler = a.guard(http.HandlerFunc(a.dispatch))
	return a, nil
}

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// dispatch lets the mux answer what it knows, and puts its two refusals, which
// are plain text, into problem documents.
func (a *API) dispatch(w http.ResponseWriter, r *http.Request) {
	h, pattern := a.mux.Handler(r)
	if pattern != "" {
		a.mux.ServeHTTP(w, r)
		return
	}
	refusal := refusal{header: http.Header{}}
	h.ServeHTTP(&refusal, r)
	if refusal.status == http.StatusMethodNotAllowed {
		allow := refusal.header.Get("Allow")
		w.Header().Set("Allow", allow)
		writeProblem(w, r, problemf(http.StatusMethodNotAllowed, "this address takes %s", allow))
		return
	}
	writeProblem(w, r, problemf(http.StatusNotFound, "there is nothing at this address; /docs lists what there is"))
}

// refusal keeps what the mux would have answered.
type refusal struct {
	header http.Header
	status int
}

func (f *refusal) Header() http.Header         { return f.header }
func (f *refusal) Write(b []byte) (int, error) { return len(b), nil }
func (f *refusal) WriteHeader(status int)      { f.status = status }
