package api

import (
	"context"
	"maps"
	"net/http"
	"sync"
	"time"
)

const checkTimeout = 2 * time.Second

// Health is the answer of /healthz.
type Health struct {
	Status string `json:"status" enum:"ok"`
}

// Readiness is the answer of /readyz.
type Readiness struct {
	Status string           `json:"status" enum:"ready,not ready"`
	Checks map[string]Check `json:"checks"`
}

// Check is one thing that is needed to serve. Why it fails is in the log: this
// answer needs no credentials.
type Check struct {
	OK     bool  `json:"ok"`
	TookMS int64 `json:"took_ms"`
}

type (
	healthAnswer    struct{ Body Health }
	readinessAnswer struct {
		Status int
		Body   Readiness
	}
)

func (a *API) routeHealth() {
	route(a, endpoint{
		id: "health", method: http.MethodGet, path: "/healthz", tag: tagHealth,
		summary: "Is the process alive", text: "Says nothing about Redis or the ledger: do not restart a process because they are away.",
		success: map[int]string{http.StatusOK: "It answers."},
	}, func(context.Context, *struct{}) (*healthAnswer, error) {
		return &healthAnswer{Health{"ok"}}, nil
	})
	route(a, endpoint{
		id: "ready", method: http.MethodGet, path: "/readyz", tag: tagHealth,
		summary: "Can it serve", text: "Asks the ledger and what else is needed.",
		success: map[int]string{http.StatusOK: "It can.", http.StatusServiceUnavailable: "It cannot at the moment; the checks say what is missing."},
	}, a.ready)
}

// ready runs all checks at once, so that the slowest bounds the answer.
func (a *API) ready(ctx context.Context, _ *struct{}) (*readinessAnswer, error) {
	checks := maps.Clone(a.cfg.Checks)
	if checks == nil {
		checks = map[string]func(context.Context) error{}
	}
	checks["ledger"] = a.ledger.Ready
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	out := &readinessAnswer{Status: http.StatusOK, Body: Readiness{Status: "ready", Checks: map[string]Check{}}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, check := range checks {
		wg.Go(func() {
			begin := a.cfg.Now()
			err := check(ctx)
			took := a.cfg.Now().Sub(begin)
			if err != nil {
				a.cfg.Logger.WarnContext(ctx, "not ready", "check", name, "err", err)
			}
			mu.Lock()
			defer mu.Unlock()
			out.Body.Checks[name] = Check{OK: err == nil, TookMS: took.Milliseconds()}
			if err != nil {
				out.Status, out.Body.Status = http.StatusServiceUnavailable, "not ready"
			}
		})
	}
	wg.Wait()
	return out, nil
}
