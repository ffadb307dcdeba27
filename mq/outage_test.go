package mq_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"evalq/mq"
	"evalq/server"
	"evalq/tasks"
	"evalq/worker"
)

// provider is a chat model's HTTP server that fails so many times first.
type provider struct {
	*httptest.Server
	calls atomic.Int64
}

func newProvider(t *testing.T, failures int64, fail http.HandlerFunc) *provider {
	t.Helper()
	p := &provider{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.calls.Add(1) <= failures {
			fail(w, r)
			return
		}
		fmt.Fprint(w, `{"score":80}`)
	}))
	t.Cleanup(p.Close)
	return p
}

// apiError has the shape of the one in Eino's extension for OpenAI.
type apiError struct {
	Message        string
	HTTPStatusCode int
}

func (e *apiError) Error() string { return e.Message }

// evaluate is a function of a platform's own, which calls the model.
func (p *provider) evaluate(ctx context.Context, _ uint, _ uint64) (map[string]any, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, fmt.Errorf("run the agent: %w", err)
	}
	defer answer.Body.Close()
	if _, err := io.ReadAll(answer.Body); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("run the agent: %w", &apiError{"no", answer.StatusCode})
	}
	return map[string]any{"score": 80}, nil
}

// hasty is a policy whose delays and limits do not slow a test down.
func hasty(k tasks.Kind) tasks.Policy {
	p := tasks.PolicyFor(k)
	p.BackoffBase, p.BackoffMax = time.Millisecond, 2*time.Millisecond
	return p
}

func handled(t *testing.T, policy func(tasks.Kind) tasks.Policy, f func(context.Context, uint, uint64) (map[string]any, error)) tasks.Job {
	t.Helper()
	c := evalqWith(t, &server.Config{Policies: policy, Handlers: map[tasks.Kind]worker.Handler{tasks.KindEvaluationReport: mq.Handler(f)}})
	job, err := c.Submit(t.Context(), tasks.EvaluationReport{UserID: 7, ReportID: 42})
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	job, err = c.Wait(ctx, job.ID)
	must(t, err)
	return job
}

func drop(w http.ResponseWriter, _ *http.Request) {
	if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
		c.Close()
	}
}

func answers(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

// hang does not answer until the caller has gone.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func TestAnOutageOfTheProviderCostsAPlatformsEvaluationNoAttempt(t *testing.T) {
	t.Parallel()
	const outage = 6 // failures, of which five would be the end
	for name, fail := range map[string]http.HandlerFunc{
		"connections break": drop, "503": answers(503), "429": answers(429), "500": answers(500), "401": answers(401), "529": answers(529),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t, outage, fail)
			if job := handled(t, hasty, p.evaluate); job.State != tasks.Succeeded || job.Charged != 0 || p.calls.Load() != outage+1 {
				t.Errorf("%s after %d calls, charged %d: %+v", job.State, p.calls.Load(), job.Charged, job.Error)
			}
		})
	}
}

func TestAProviderThatDoesNotAnswerCostsAPlatformsEvaluationNoAttempt(t *testing.T) {
	t.Parallel()
	const outage = 6
	limited := func(set func(*tasks.Policy)) func(tasks.Kind) tasks.Policy {
		return func(k tasks.Kind) tasks.Policy {
			p := hasty(k)
			set(&p)
			return p
		}
	}
	checkpoint := func(f func(context.Context, uint, uint64) (map[string]any, error)) func(context.Context, uint, uint64) (map[string]any, error) {
		return func(ctx context.Context, user uint, report uint64) (out map[string]any, err error) {
			_, err = worker.Checkpoint(ctx, "report", func(ctx context.Context) (raw json.RawMessage, err error) {
				out, err = f(ctx, user, report)
				return json.RawMessage(`{}`), err
			})
			return out, err
		}
	}
	for name, c := range map[string]struct {
		policy func(*tasks.Policy)
		around func(func(context.Context, uint, uint64) (map[string]any, error)) func(context.Context, uint, uint64) (map[string]any, error)
	}{
		"no progress": {policy: func(p *tasks.Policy) { p.IdleTimeout = 300 * time.Millisecond }},
		"the attempt": {policy: func(p *tasks.Policy) { p.TotalTimeout = 300 * time.Millisecond }},
		"a step":      {policy: func(p *tasks.Policy) { p.CallTimeout = 300 * time.Millisecond }, around: checkpoint},
		"its own": {policy: func(*tasks.Policy) {}, around: func(f func(context.Context, uint, uint64) (map[string]any, error)) func(context.Context, uint, uint64) (map[string]any, error) {
			return func(ctx context.Context, user uint, report uint64) (map[string]any, error) {
				ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
				defer cancel()
				return f(ctx, user, report)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t, outage, hang)
			f := p.evaluate
			if c.around != nil {
				f = c.around(f)
			}
			// On a busy machine a call that would be answered may take longer too.
			if job := handled(t, limited(c.policy), f); job.State != tasks.Succeeded || job.Charged != 0 {
				t.Errorf("%s after %d calls, charged %d: %+v", job.State, p.calls.Load(), job.Charged, job.Error)
			}
		})
	}
}

func TestARequestThatTheProviderRefusesEndsAPlatformsEvaluationAtOnce(t *testing.T) {
	t.Parallel()
	p := newProvider(t, 100, answers(400))
	job := handled(t, hasty, p.evaluate)
	if job.State != tasks.Dead || job.Error == nil || job.Error.Class != tasks.ClassRefused || !job.Error.Class.Permanent() || p.calls.Load() != 1 {
		t.Errorf("%s after %d calls: %+v", job.State, p.calls.Load(), job.Error)
	}
	_, err := mq.Handler(p.evaluate)(t.Context(), tasks.Job{UserID: 7, ReportID: 42})
	if !tasks.IsPermanent(err) {
		t.Errorf("the handler's error is not permanent: %v", err)
	}
}

func TestWhatNothingIsKnownOfCostsAPlatformsEvaluationItsAttempts(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	job := handled(t, hasty, func(context.Context, uint, uint64) (map[string]any, error) {
		calls.Add(1)
		return nil, errors.New("a bug")
	})
	if job.State != tasks.Dead || job.Error.Class != tasks.ClassInternal || calls.Load() != 5 {
		t.Errorf("%s after %d calls: %+v", job.State, calls.Load(), job.Error)
	}
}

func TestAPlatformsClassifyGoesBeforeWhatHandlerReads(t *testing.T) {
	t.Parallel()
	p := newProvider(t, 100, answers(503))
	c := evalqWith(t, &server.Config{
		Policies: hasty, Handlers: map[tasks.Kind]worker.Handler{tasks.KindEvaluationReport: mq.Handler(p.evaluate)},
		Classify: func(err error) tasks.Class {
			if e := (*apiError)(nil); errors.As(err, &e) && e.HTTPStatusCode == 503 {
				return tasks.ClassContentFiltered
			}
			return ""
		},
	})
	job, err := c.Submit(t.Context(), tasks.EvaluationReport{UserID: 7, ReportID: 42})
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if job, err = c.Wait(ctx, job.ID); err != nil || job.State != tasks.Dead || job.Error.Class != tasks.ClassContentFiltered {
		t.Errorf("%v: %+v", err, job)
	}
}

func TestAnOutageOfTheProviderCostsAMessageNoTry(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{mq.KindRedis, mq.KindMemory} {
		t.Run(kind, func(t *testing.T) {
			alone(t)
			cfg := mq.Config{}
			if kind == mq.KindRedis {
				_, rdb := startRedis(t)
				cfg = quick(rdb)
			}
			cfg.Kind, cfg.Attempts, cfg.Pause = kind, 3, 5*time.Millisecond
			q := opened(t, cfg)
			mq.InitMessageQueue(q)
			const outage = 5
			p := newProvider(t, outage, answers(503))
			ended := make(chan struct{})
			evaluate := func(ctx context.Context, user uint, report uint64) error {
				_, err := p.evaluate(ctx, user, report)
				if err == nil {
					close(ended)
				}
				return err
			}
			mq.SetEvaluationService(evaluate, evaluate)
			background(t, mq.StartConsumer)
			must(t, mq.PublishEvaluationReport(t.Context(), 7, 42))
			receive(t, "the evaluation", ended)
		})
	}
}
