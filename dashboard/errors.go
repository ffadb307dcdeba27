package dashboard

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"evalq/tasks"
)

// explain turns an error into a status and words for a person. What is not
// known is logged, and its text stays here.
func explain(ctx context.Context, log *slog.Logger, err error) (status int, text string) {
	if status, text = known(err); status != 0 {
		return status, text
	}
	log.LogAttrs(ctx, slog.LevelError, "a request of the dashboard failed", slog.Any("err", err))
	return http.StatusInternalServerError, "something went wrong; the program's log says what"
}

// known gives status 0 for an error that is none of the vocabulary's.
func known(err error) (status int, text string) {
	var invalid *tasks.InvalidError
	switch {
	case errors.Is(err, tasks.ErrNotFound):
		return http.StatusNotFound, err.Error()
	case errors.Is(err, asynq.ErrQueueNotFound), errors.Is(err, asynq.ErrTaskNotFound):
		return http.StatusNotFound, noSuchTask
	case errors.Is(err, tasks.ErrConflict):
		return http.StatusConflict, err.Error()
	case errors.As(err, &invalid):
		return http.StatusUnprocessableEntity, err.Error()
	case errors.Is(err, tasks.ErrOutcomeUnknown):
		return http.StatusServiceUnavailable, "the ledger did not answer in time; look again before you repeat this"
	case errors.Is(err, tasks.ErrUnavailable):
		return http.StatusServiceUnavailable, "the ledger is unavailable; nothing was changed, try again later"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable, "it was cut short; look at what was done before you repeat this"
	}
	switch tasks.ClassOf(err) {
	case tasks.ClassInterviewMissing:
		return http.StatusNotFound, "there is no interview for this report"
	case tasks.ClassWrongUser:
		return http.StatusNotFound, "the interview of this report belongs to another user"
	}
	return 0, ""
}

const (
	noSuchTask  = "there is no such queue or task"
	redisIsAway = "Redis cannot be reached; try again when it answers"
	pingLimit   = 2 * time.Second
)

// reachable asks Redis itself, since Asynq's errors keep of a failed connection
// nothing but its text.
func reachable(ctx context.Context, client redis.UniversalClient) bool {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), pingLimit)
	defer stop()
	return client.Ping(ctx).Err() == nil
}

type errorView struct {
	Status int
	Text   string
	Back   string
}

// fail answers a request that ended in err.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, text := explain(r.Context(), h.cfg.Logger, err)
	h.sayNo(w, r, status, text)
}

// sayNo answers with a page that says what is wrong.
func (h *Handler) sayNo(w http.ResponseWriter, r *http.Request, status int, text string) {
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	h.render(w, r, status, "error", http.StatusText(status), errorView{Status: status, Text: text, Back: h.local(back(r))})
}

// back is where a form wants to lead afterwards.
func back(r *http.Request) string {
	if safe(r) || r.PostForm == nil {
		return ""
	}
	return r.PostForm.Get("back")
}

func (h *Handler) notFound(w http.ResponseWriter, r *http.Request) {
	if !safe(r) {
		h.sayNo(w, r, http.StatusMethodNotAllowed, "there is no such action")
		return
	}
	h.sayNo(w, r, http.StatusNotFound, "there is no such page")
}
