package api

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
)

var requestIDPattern = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

type contextKey int

const (
	keyRequestID contextKey = iota
	keyRequest
)

// instance names a request in problem documents and in the log.
func instance(ctx context.Context) string {
	if id, ok := ctx.Value(keyRequestID).(string); ok {
		return "urn:evalq:request:" + id
	}
	return ""
}

// guard is what every request passes: an id, headers, refusal of other sites'
// pages, one line in the log, and an answer even when a handler panics.
func (a *API) guard(next http.Handler) http.Handler {
	crossOrigin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := a.cfg.Now()
		id := r.Header.Get("X-Request-ID")
		if !requestIDPattern.MatchString(id) {
			id = rand.Text()
		}
		r = r.WithContext(context.WithValue(r.Context(), keyRequestID, id))
		rec := &recorder{ResponseWriter: w, request: r}
		h := rec.Header()
		h.Set("X-Request-ID", id)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer")
		defer func() {
			a.recovered(rec, r, recover())
			level := slog.LevelInfo
			if r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
				level = slog.LevelDebug // probes ask every few seconds
			}
			a.cfg.Logger.Log(r.Context(), level, "request",
				"request_id", id, "method", r.Method, "path", r.URL.Path, "status", rec.status,
				"bytes", rec.bytes, "duration_ms", a.cfg.Now().Sub(begin).Milliseconds())
		}()
		if err := crossOrigin.Check(r); err != nil {
			writeProblem(rec, r, problemf(http.StatusForbidden, "a page of another site may not do this"))
			return
		}
		next.ServeHTTP(rec, r)
	})
}

// recovered answers for a handler that panicked.
func (a *API) recovered(rec *recorder, r *http.Request, cause any) {
	if cause == nil {
		return
	}
	if cause == http.ErrAbortHandler {
		panic(cause)
	}
	a.cfg.Logger.ErrorContext(r.Context(), "handler panicked",
		"instance", instance(r.Context()), "err", cause, "stack", string(debug.Stack()))
	if rec.status == 0 {
		writeProblem(rec, r, problemf(http.StatusInternalServerError, "something went wrong here; the server's log says more under this instance"))
	}
}

// recorder keeps for the log what was answered, and sees to it that refusals
// arrive.
type recorder struct {
	http.ResponseWriter
	request *http.Request
	status  int
	bytes   int64
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	if status >= http.StatusBadRequest {
		drain(w.ResponseWriter, w.request)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController find the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
