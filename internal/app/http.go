package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"syscall"
	"time"

	"evalq/dashboard"
	"evalq/internal/api"
	"evalq/internal/config"
	"evalq/internal/evaluation"
	"evalq/internal/httpserve"
	"evalq/internal/ledger"
	"evalq/tasks"
)

// ErrPortTaken means that another program listens on the address.
var ErrPortTaken = errors.New("another program listens there; choose another address with --listen, such as 127.0.0.1:0 for any free port")

func listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("app: listen on %s: %w", addr, ErrPortTaken)
	}
	if err != nil {
		return nil, fmt.Errorf("app: listen on %s: %w", addr, err)
	}
	return l, nil
}

// users are the people and programs that the settings let in.
func users(cfg config.Config) []dashboard.User {
	var out []dashboard.User
	if cfg.OperatorToken != "" {
		out = append(out, dashboard.User{Name: "operator", Secret: cfg.OperatorToken, Role: dashboard.Operator})
	}
	if cfg.ViewerToken != "" {
		out = append(out, dashboard.User{Name: "viewer", Secret: cfg.ViewerToken, Role: dashboard.Viewer})
	}
	return out
}

// mount puts the API and the dashboard side by side, as far as the process has
// these roles. Whether the process is alive and ready, and the description of the
// API, are nobody's secret.
func mount(cfg config.Config, rest *api.API, board *dashboard.Handler) http.Handler {
	mux := http.NewServeMux()
	open := slices.Clone(probes)
	if cfg.Runs(config.RoleAPI) {
		guarded := board.Auth().Protect(rest, api.Refuse)
		mux.Handle("/v1", guarded)
		mux.Handle("/v1/", guarded)
		if cfg.PlatformEndpoints {
			original := board.Auth().Protect(rest, api.RefuseOriginal)
			for _, prefix := range api.OriginalPrefixes {
				mux.Handle(prefix, original)
			}
		}
		open = append(open, "/openapi.json", "/docs", "/docs/")
	}
	for _, path := range open {
		mux.Handle(path, rest)
	}
	if cfg.Runs(config.RoleDashboard) {
		mux.Handle("/", board)
	}
	return mux
}

// probes are the addresses that are answered also when there is room for nothing
// else.
var probes = []string{"/healthz", "/readyz"}

func busy(w http.ResponseWriter, r *http.Request) {
	api.Refuse(w, r, http.StatusServiceUnavailable, httpserve.ErrBusy.Error())
}

// caller names who sent a request, for a job's events.
func caller(ctx context.Context) string {
	if name, _ := dashboard.IdentityOf(ctx); name != "" {
		return "api:" + name
	}
	return "api"
}

// patient is the ledger as the API sees it. It ends long polls when the server
// is to stop, so that they do not hold the stop up, and writes the audit log.
type patient struct {
	*ledger.Ledger
	stopping context.Context
	mirror   *mirror // nil without a platform's database
}

func (p patient) Accept(ctx context.Context, r tasks.Request, who string) (tasks.Job, bool, error) {
	if p.mirror != nil {
		p.mirror.refresh(ctx, r)
	}
	return p.Ledger.Accept(ctx, r, who)
}

func (p patient) AcceptMany(ctx context.Context, rs []tasks.Request, who string) []tasks.Accepting {
	if p.mirror != nil {
		p.mirror.refresh(ctx, rs...)
	}
	return p.Ledger.AcceptMany(ctx, rs, who)
}

// Interview reads an interview of the platform too, as it is there now.
func (p patient) Interview(ctx context.Context, userID, reportID int64) (evaluation.Interview, error) {
	if p.mirror != nil {
		return p.mirror.read(ctx, userID, reportID)
	}
	return p.Ledger.Interview(ctx, userID, reportID)
}

func (p patient) Wait(ctx context.Context, id string, max time.Duration) (tasks.Job, error) {
	cut, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.stopping, cancel)()
	j, err := p.Ledger.Wait(cut, id, max)
	if err != nil && p.stopping.Err() != nil && ctx.Err() == nil {
		return p.Get(ctx, id)
	}
	return j, err
}

// RetryWith and Cancel by a program are on the audit log like those by a person.
func (p patient) RetryWith(ctx context.Context, id string, how tasks.RetryOptions, who, why string) (tasks.Job, error) {
	if err := p.Audit(ctx, tasks.AuditEntry{Who: who, Action: "job.retry", Target: id, Detail: how.Detail(why)}); err != nil {
		return tasks.Job{}, err
	}
	return p.Ledger.RetryWith(ctx, id, how, who, why)
}

func (p patient) Cancel(ctx context.Context, id, who, why string) (tasks.Job, error) {
	if err := p.Audit(ctx, tasks.AuditEntry{Who: who, Action: "job.cancel", Target: id, Detail: why}); err != nil {
		return tasks.Job{}, err
	}
	return p.Ledger.Cancel(ctx, id, who, why)
}

// pages gives the dashboard interviews as documents: its public interface names
// no internal type.
type pages struct {
	bridged
	mirror *mirror // nil without a platform's database
}

func (p pages) Interview(ctx context.Context, userID, reportID int64) ([]byte, error) {
	in, err := patient{Ledger: p.Ledger, mirror: p.mirror}.Interview(ctx, userID, reportID)
	if err != nil {
		return nil, err
	}
	return json.Marshal(in)
}

func (p pages) PutInterview(ctx context.Context, doc []byte, who string) (bool, error) {
	in, err := evaluation.ParseInterview(doc)
	if err != nil {
		return false, &tasks.InvalidError{Err: err}
	}
	return p.Ledger.PutInterview(ctx, in, who)
}
