package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/hibiken/asynq"

	"evalq/tasks"
)

const (
	maxBatchBody = 1_000_000 // as Asynqmon
	bulkLimit    = 30 * time.Minute
)

// serve carries out c and answers in Asynqmon's shape. Whoever may not
// change anything does not get here.
func (g *gate) serve(w http.ResponseWriter, r *http.Request, c call) {
	// A browser that goes away, or Close, must not leave a decision of the
	// ledger without its counterpart in Redis.
	ctx, stop := context.WithTimeout(context.WithoutCancel(r.Context()), bulkLimit)
	defer stop()
	ids, err := batch(w, r, c)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	action, target, detail := c.describe(ids)
	if err := g.audit(r, action, target, detail); err != nil {
		g.log.LogAttrs(ctx, slog.LevelError, "an action is refused because it cannot be written to the audit log",
			slog.String("action", action), slog.Any("err", err))
		w.Header().Set("Retry-After", "5")
		http.Error(w, "refused: the audit log cannot be written; nothing was changed", http.StatusServiceUnavailable)
		return
	}
	answer, count, err := g.carryOut(ctx, c, ids, actor(r))
	if err != nil {
		g.refuse(w, r, c, count, err)
		return
	}
	if c.bulk() {
		g.note(ctx, r, c, "done: "+count.String())
	}
	if answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// bulk reports whether c may touch many tasks, so that only its outcome tells how
// many it has touched.
func (c call) bulk() bool {
	return c.scope == scopeBatch || c.scope == scopeAll || c.scope == scopeQueue && c.verb == verbDelete
}

// carryOut gives the JSON object to answer with, or nil for 204.
func (g *gate) carryOut(ctx context.Context, c call, ids []string, who string) (map[string]any, tally, error) {
	switch c.scope {
	case scopeOne:
		_, err := g.do(ctx, c, c.task, who)
		return nil, tally{}, err
	case scopeBatch:
		done, failed, count := g.doEach(ctx, c, ids, who)
		names := batchAnswers[c.verb]
		return map[string]any{names[0]: done, names[1]: failed}, count, nil
	case scopeAll:
		count, err := g.doAll(ctx, c, who)
		if err != nil || c.verb == verbCancel {
			return nil, count, err
		}
		return map[string]any{allAnswers[c.verb]: count.tasks}, count, nil
	}
	if c.verb == verbDelete {
		return nil, tally{}, g.deleteQueue(ctx, c.queue)
	}
	return nil, tally{}, g.pause(ctx, c.queue, c.verb == verbPause, who)
}

// The names in Asynqmon's answers.
var (
	batchAnswers = map[verb][2]string{
		verbRun:     {"pending_ids", "error_ids"},
		verbArchive: {"archived_ids", "error_ids"},
		verbCancel:  {"canceled_ids", "error_ids"},
		verbDelete:  {"deleted_ids", "failed_ids"},
	}
	allAnswers = map[verb]string{verbRun: "scheduled", verbArchive: "archived", verbDelete: "deleted"}
)

// batch reads the ids that a batch call names.
func batch(w http.ResponseWriter, r *http.Request, c call) ([]string, error) {
	if c.scope != scopeBatch {
		return nil, nil
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBatchBody))
	if err != nil {
		return nil, err
	}
	var body struct {
		TaskIDs []string `json:"task_ids"`
	}
	if err := tasks.CheckJSON(data); err != nil {
		return nil, err
	}
	if err := tasks.DecodeStrict(data, &body); err != nil {
		return nil, err
	}
	return body.TaskIDs, nil
}

// describe puts the call into an audit entry's words.
func (c call) describe(ids []string) (action, target, detail string) {
	switch c.scope {
	case scopeOne:
		return "task." + string(c.verb), c.task, "queue " + c.queue
	case scopeBatch:
		return "task." + string(c.verb), "queue " + c.queue, fmt.Sprintf("%d %s tasks: %s", len(ids), c.state, strings.Join(ids, " "))
	case scopeAll:
		return "task." + string(c.verb) + "_all", "queue " + c.queue, "all " + c.state + " tasks"
	}
	return "queue." + string(c.verb), c.queue, ""
}

// refuse answers an action that did not happen, or ended early, and writes that
// to the audit log.
func (g *gate) refuse(w http.ResponseWriter, r *http.Request, c call, count tally, err error) {
	status, text := g.explain(r, err)
	outcome := "not done: " + text
	if count != (tally{}) {
		outcome = "ended early: " + count.String() + "; " + text
	}
	g.note(context.WithoutCancel(r.Context()), r, c, outcome)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	http.Error(w, text, status)
}

// note writes the outcome of c to the audit log, which has the wish already.
func (g *gate) note(ctx context.Context, r *http.Request, c call, outcome string) {
	action, target, _ := c.describe(nil)
	if err := g.audit(r.WithContext(ctx), action, target, outcome); err != nil {
		g.log.LogAttrs(ctx, slog.LevelWarn, "the audit log lacks the outcome of an action", slog.String("action", action), slog.Any("err", err))
	}
}

// explain turns an error into a status and words for the operator.
func (g *gate) explain(r *http.Request, err error) (int, string) {
	switch {
	case gone(err):
		return http.StatusNotFound, strings.TrimPrefix(err.Error(), "asynq: ")
	case errors.Is(err, asynq.ErrQueueNotEmpty):
		return http.StatusBadRequest, err.Error()
	}
	if status, text := known(err); status != 0 {
		return status, text
	}
	switch {
	case !reachable(r.Context(), g.redis):
		return http.StatusServiceUnavailable, redisIsAway
	case strings.HasPrefix(err.Error(), "asynq: "):
		return http.StatusInternalServerError, strings.TrimPrefix(err.Error(), "asynq: ") // as Asynqmon answers
	}
	return explain(r.Context(), g.log, err)
}

func actor(r *http.Request) string {
	who, _ := IdentityOf(r.Context())
	return who
}

// pause records the wish in the ledger, where it survives the loss of Redis,
// then tells Asynq.
func (g *gate) pause(ctx context.Context, queue string, paused bool, who string) error {
	if p, ours := g.namespace.Priority(queue); ours {
		if err := g.ledger.Pause(ctx, p, paused, who); err != nil {
			return err
		}
	}
	change := g.inspector.UnpauseQueue
	if paused {
		change = g.inspector.PauseQueue
	}
	err := change(queue)
	if err == nil {
		return nil
	}
	// Asynq refuses to pause what is paused. What was wished is so, then.
	if info, ierr := g.inspector.GetQueueInfo(queue); ierr == nil && info.Paused == paused {
		return nil
	}
	return err
}
