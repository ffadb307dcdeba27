package dashboard

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"path"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"evalq/internal/redisconn"
	"evalq/tasks"
)

// Ledger is what the dashboard reads and does. Who and why end up in the job's
// events. Errors are those of package tasks: ErrNotFound, ErrConflict,
// ErrUnavailable, ErrOutcomeUnknown, *InvalidError.
type Ledger interface {
	// Get gives one job with its result.
	Get(ctx context.Context, id string) (tasks.Job, error)
	// List gives a page of jobs, newest first.
	List(ctx context.Context, f tasks.Filter) (tasks.Page, error)
	Attempts(ctx context.Context, id string) ([]tasks.Attempt, error)
	Events(ctx context.Context, id string) ([]tasks.Event, error)
	Overview(ctx context.Context) (tasks.Overview, error)

	// Find gives the newest revision.
	Find(ctx context.Context, kind tasks.Kind, userID, reportID int64) (tasks.Job, error)

	// RetryWith hands the job over again with a fresh budget, or evaluates it anew.
	// It answers the job that runs: the named one, or its next revision.
	RetryWith(ctx context.Context, id string, how tasks.RetryOptions, who, why string) (tasks.Job, error)
	// Cancel stops the job, at once unless it is running: then it is asked to.
	Cancel(ctx context.Context, id, who, why string) (tasks.Job, error)
	// Archive gives the job up.
	Archive(ctx context.Context, id, who, why string) (tasks.Job, error)
	// RetryDelivery, CancelDelivery and ArchiveDelivery do the same for an operator
	// who points at one task in Asynqmon: only while delivery is the job's newest
	// one and the job is in one of the states; otherwise they answer ErrConflict
	// and change nothing.
	RetryDelivery(ctx context.Context, id string, delivery int, states []tasks.State, who, why string) (tasks.Job, error)
	CancelDelivery(ctx context.Context, id string, delivery int, states []tasks.State, who, why string) (tasks.Job, error)
	ArchiveDelivery(ctx context.Context, id string, delivery int, states []tasks.State, who, why string) (tasks.Job, error)
	// Pause records that a queue is paused or not.
	Pause(ctx context.Context, queue tasks.Priority, paused bool, who string) error
	Paused(ctx context.Context) (map[tasks.Priority]bool, error)

	// Interview gives a report's interview as the JSON object that
	// PutInterview takes. User 0 means any owner.
	Interview(ctx context.Context, userID, reportID int64) (doc []byte, err error)
	PutInterview(ctx context.Context, doc []byte, who string) (changed bool, err error)

	// Audit returns after the entry is committed.
	Audit(ctx context.Context, e tasks.AuditEntry) error
	// InQuarantine lists what could not be read, newest first, and counts what
	// nobody has dealt with; Settle notes that somebody has.
	InQuarantine(ctx context.Context, all bool, limit int) (entries []tasks.Quarantined, open int, err error)
	Settle(ctx context.Context, id int64, who, how string) error
	// Replay submits what came over the bridge and was set aside, as it is read
	// now, and settles it. UserID and reportID, when not 0, name the true ids of a
	// message whose ids a float64 has changed.
	Replay(ctx context.Context, id, userID, reportID int64, who string) (tasks.Job, error)
	// Bridge counts what came over the bridge, by channel.
	Bridge(ctx context.Context) ([]tasks.BridgeChannel, error)
	// AuditPage gives the newest entries first.
	AuditPage(ctx context.Context, q tasks.AuditQuery) ([]tasks.AuditEntry, error)
}

// Config tunes a Handler. The zero value works.
type Config struct {
	// Prefix is the path under which the handler is mounted. Requests arrive
	// with it: do not strip it. Defaults to "/".
	Prefix string
	// Users may sign in. Without any, everybody on this machine is an
	// operator; see Auth. Defaults to none.
	Users []User
	// Identify replaces Users where a platform signs people in itself: it
	// tells who sent a request, and ok is false when nobody may come in.
	// Defaults to nil: Users decide.
	Identify func(r *http.Request) (name string, operator, ok bool)
	// RemoteAddr tells who sent a request, for the audit log and for slowing
	// down who guesses passwords. Behind a proxy, give one that reads the
	// header that the proxy sets. Defaults to the connection's address.
	RemoteAddr func(r *http.Request) string
	// Suggested offers an improved document for a report's interview, in the
	// JSON form of Ledger.Interview; the interview's page then has a button
	// that saves it. Defaults to nil: no button.
	Suggested func(reportID int64) (doc []byte, ok bool)
	// Namespace is that of the workers. Defaults to none.
	Namespace tasks.Namespace
	// Build is shown at the foot of each page. Defaults to "dev".
	Build string
	// Logger gets what an operator cannot see on the page. Defaults to
	// slog.Default().
	Logger *slog.Logger
}

// Handler serves the dashboard. It is safe for concurrent use.
type Handler struct {
	prefix string // no slash at the end; "" for the root
	cfg    Config
	ledger Ledger
	auth   *Auth
	pages  map[string]*template.Template
	serve  http.Handler
	asynq  *gate

	messages *messages

	gateMu sync.RWMutex // held for reading by every request, so that Close waits for them
	closed bool
	end    context.CancelFunc // tells actions on many tasks to stop at the next one
}

// New makes the handler. It shares client, which stays the caller's to close
// after Close. It connects to nothing and starts no goroutine. A nil cfg means
// the defaults.
func New(ledger Ledger, client redis.UniversalClient, cfg *Config) (*Handler, error) {
	h := &Handler{ledger: ledger}
	if cfg != nil {
		h.cfg = *cfg
	}
	if isNil(ledger) || isNil(client) {
		return nil, errors.New("dashboard: a ledger and a Redis client are needed")
	}
	if err := h.configure(); err != nil {
		return nil, fmt.Errorf("dashboard: %w", err)
	}
	var err error
	if h.pages, err = parseTemplates(h.prefix, h.cfg.Namespace); err != nil {
		return nil, fmt.Errorf("dashboard: %w", err)
	}
	redisconn.GuardClient(client)
	h.messages = &messages{redis: client, queue: h.cfg.Namespace.Queue(tasks.Messages)}
	mons, err := newAsynqmon(client, h.prefix, h.cfg.Logger)
	if err != nil {
		return nil, fmt.Errorf("dashboard: asynqmon: %w", err)
	}
	ending, end := context.WithCancel(context.Background())
	h.end = end
	h.asynq = &gate{
		ledger: ledger, namespace: h.cfg.Namespace, redis: client, inspector: asynq.NewInspectorFromRedisClient(client), log: h.cfg.Logger, audit: h.audit, ending: ending,
	}
	static, err := loadFiles()
	if err != nil {
		return nil, fmt.Errorf("dashboard: %w", err)
	}
	h.serve = h.routes(mons, static)
	return h, nil
}

// isNil also finds a nil pointer in an interface.
func isNil(v any) bool {
	r := reflect.ValueOf(v)
	return !r.IsValid() || r.Kind() == reflect.Pointer && r.IsNil()
}

func (h *Handler) configure() error {
	c := &h.cfg
	if c.Prefix == "" {
		c.Prefix = "/"
	}
	if !strings.HasPrefix(c.Prefix, "/") || path.Clean(c.Prefix) != strings.TrimSuffix(c.Prefix, "/") && c.Prefix != "/" {
		return fmt.Errorf("Prefix: %q is not a clean path that begins with a slash", c.Prefix)
	}
	if strings.ContainsAny(c.Prefix, "{}?#%\"'<>& \\") {
		return fmt.Errorf("Prefix: %q has characters that do not belong into a path", c.Prefix)
	}
	h.prefix = strings.TrimSuffix(c.Prefix, "/")
	if c.Identify != nil && len(c.Users) > 0 {
		return errors.New("Identify: give it or Users, not both")
	}
	var err error
	if h.auth, err = NewAuth(c.Users); err != nil {
		return errors.Unwrap(err)
	}
	c.Users = nil // the digests are enough from here on
	h.auth.identify = c.Identify
	if c.RemoteAddr != nil {
		h.auth.remote = c.RemoteAddr
	}
	if c.Build == "" {
		c.Build = "dev"
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return nil
}

// Auth gives the Auth that guards the dashboard, so that other handlers can be
// protected by the same users, sessions and brake.
func (h *Handler) Auth() *Auth { return h.auth }

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.gateMu.RLock()
	defer h.gateMu.RUnlock()
	if h.closed || h.serve == nil {
		http.Error(w, "the dashboard is closed", http.StatusServiceUnavailable)
		return
	}
	h.serve.ServeHTTP(w, r)
}

// Close waits for the requests under way, so that nothing uses the ledger or
// Redis afterwards, ends all sessions, and refuses what comes later. An action
// on many tasks ends with the ones it is at.
func (h *Handler) Close() error {
	if h == nil || h.end == nil {
		return nil // New did not make it
	}
	h.end()
	h.gateMu.Lock()
	defer h.gateMu.Unlock()
	h.closed = true
	h.auth.sessions.endAll()
	return nil
}

// audit writes down what somebody is about to do.
func (h *Handler) audit(r *http.Request, action, target, detail string) error {
	who, _ := IdentityOf(r.Context())
	return h.ledger.Audit(r.Context(), tasks.AuditEntry{
		At: time.Now().UTC(), Who: who, Action: action, Target: clip(target, 200), Detail: clip(detail, 1000), From: h.auth.remote(r),
	})
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
