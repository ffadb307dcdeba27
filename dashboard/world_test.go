package dashboard_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"evalq/dashboard"
	"evalq/internal/redistest"
	"evalq/tasks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is one test's own: a ledger, a real Redis and the dashboard over both.
type world struct {
	tb        testing.TB
	ledger    *memory
	redis     *redis.Client
	inspector *asynq.Inspector
	client    *asynq.Client
	handler   *dashboard.Handler
}

func newWorld(tb testing.TB, cfg *dashboard.Config) *world {
	tb.Helper()
	w := &world{tb: tb, ledger: newMemory(), redis: redistest.Start(tb).Client(tb)}
	w.inspector, w.client = asynq.NewInspectorFromRedisClient(w.redis), asynq.NewClientFromRedisClient(w.redis)
	w.handler = newHandler(tb, w.ledger, w.redis, cfg)
	return w
}

func newHandler(tb testing.TB, ledger dashboard.Ledger, client redis.UniversalClient, cfg *dashboard.Config) *dashboard.Handler {
	tb.Helper()
	c := dashboard.Config{}
	if cfg != nil {
		c = *cfg
	}
	c.Logger = slog.New(slog.DiscardHandler)
	h, err := dashboard.New(ledger, client, &c)
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

// offline is a dashboard whose Redis is never asked.
func offline(tb testing.TB, cfg *dashboard.Config) (*memory, *dashboard.Handler) {
	tb.Helper()
	// After as many failures as the pool is large, go-redis begins to dial from a
	// goroutine that Close does not wait for.
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, DialerRetries: 1, PoolSize: 1000})
	tb.Cleanup(func() { _ = client.Close() })
	ledger := newMemory()
	return ledger, newHandler(tb, ledger, client, cfg)
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func call(h http.Handler, method, target string, body io.Reader, change ...func(*http.Request)) answer {
	r := httptest.NewRequest(method, target, body)
	r.Host = "localhost:8080"
	for _, one := range change {
		one(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answer{w.Code, w.Header(), w.Body.String()}
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func asPage(r *http.Request) { r.Header.Set("Accept", "text/html") }

func bearer(secret string) func(*http.Request) { return header("Authorization", "Bearer "+secret) }

func form(values url.Values) (io.Reader, func(*http.Request)) {
	return strings.NewReader(values.Encode()), header("Content-Type", "application/x-www-form-urlencoded")
}

func get(h http.Handler, target string, change ...func(*http.Request)) answer {
	return call(h, http.MethodGet, target, nil, append([]func(*http.Request){asPage}, change...)...)
}

func post(h http.Handler, target string, values url.Values, change ...func(*http.Request)) answer {
	body, typed := form(values)
	return call(h, http.MethodPost, target, body, append([]func(*http.Request){asPage, typed}, change...)...)
}

// api calls Asynqmon's API as its page does.
func (w *world) api(method, path, body string, change ...func(*http.Request)) answer {
	w.tb.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	return call(w.handler, method, "/asynqmon/api"+path, reader, change...)
}

// enqueue puts a job's task where the job's state wants it in Asynq: "pending",
// "scheduled", "archived", "retry" or "completed".
func (w *world) enqueue(queue, id, state string) {
	w.tb.Helper()
	opts := []asynq.Option{asynq.TaskID(id), asynq.Queue(queue), asynq.MaxRetry(5), asynq.Retention(time.Hour)}
	if state == "scheduled" {
		opts = append(opts, asynq.ProcessIn(time.Hour))
	}
	payload, err := tasks.Encode(tasks.EvaluationReport{UserID: 9007199254740993, ReportID: 9223372036854775807})
	if err != nil {
		w.tb.Fatal(err)
	}
	if _, err := w.client.Enqueue(asynq.NewTask(string(tasks.KindEvaluationReport), payload), opts...); err != nil {
		w.tb.Fatal(err)
	}
	switch state {
	case "archived":
		if err := w.inspector.ArchiveTask(queue, id); err != nil {
			w.tb.Fatal(err)
		}
	case "retry":
		w.toRetry(queue, id)
	case "completed":
		w.move(queue, id, "completed")
	case "active":
		w.move(queue, id, "active")
	}
}

// toRetry moves a pending task into the retry set, as a failed attempt does.
func (w *world) toRetry(queue, id string) { w.move(queue, id, "retry") }

func (w *world) move(queue, id, state string) {
	w.tb.Helper()
	ctx, prefix := context.Background(), "asynq:{"+queue+"}:"
	pipe := w.redis.TxPipeline()
	pipe.LRem(ctx, prefix+"pending", 0, id)
	if state == "active" {
		pipe.LPush(ctx, prefix+"active", id)
		pipe.ZAdd(ctx, prefix+"lease", redis.Z{Score: float64(time.Now().Add(time.Minute).Unix()), Member: id})
	} else {
		pipe.ZAdd(ctx, prefix+state, redis.Z{Score: float64(time.Now().Add(time.Hour).Unix()), Member: id})
	}
	pipe.HSet(ctx, prefix+"t:"+id, "state", state)
	if _, err := pipe.Exec(ctx); err != nil {
		w.tb.Fatal(err)
	}
}

// stateOf gives the state of a task in Asynq, or "" when it is not there.
func (w *world) stateOf(queue, id string) string {
	w.tb.Helper()
	info, err := w.inspector.GetTaskInfo(queue, id)
	if err != nil {
		return ""
	}
	return info.State.String()
}

// queued adds a job in the given state with its task in Asynq.
func (w *world) queued(state tasks.State, asynqState string) tasks.Job {
	w.tb.Helper()
	job := w.ledger.add(state, nil)
	w.enqueue(string(job.Priority), job.TaskID(), asynqState)
	return job
}

// audited fails the test unless the newest entry is this action.
func (w *world) audited(action, target string) {
	w.tb.Helper()
	entries, err := w.ledger.AuditLog(context.Background(), 1)
	if err != nil || len(entries) != 1 {
		w.tb.Fatalf("audit log: %d entries, %v; want the action %s", len(entries), err, action)
	}
	e := entries[0]
	if e.Action != action || e.Target != target || e.Who == "" || e.From == "" || e.At.IsZero() {
		w.tb.Errorf("newest audit entry: %+v, want %s of %s by somebody from somewhere", e, action, target)
	}
}

func decode[T any](tb testing.TB, a answer) (v T) {
	tb.Helper()
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		tb.Fatalf("answer %d %q: %v", a.status, a.body, err)
	}
	return v
}
