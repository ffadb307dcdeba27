package dashboard

import (
	"errors"
	"net/http"
	"strings"
	"unicode/utf8"

	"evalq/tasks"
)

type jobView struct {
	tasks.Job
	Sentence  string // about the state, in English
	ErrorEN   string // for the person who waits; of what it is held for, too
	ErrorZH   string
	Repair    bool // the interview is what has to be mended
	CanRun    bool
	CanAnew   bool // it can be evaluated anew
	CanCancel bool
	Newer     *tasks.Job // a newer revision; nil when this is the newest
	InAsynq   bool       // its task can be looked at in Asynqmon
	Standing  bool       // its error says why it is in its state, and is no older one
	Attempts  []tasks.Attempt
	Events    []tasks.Event
	Shown     *result // nil when there is none, or none that we can read
}

// stateSentences say what a state means for the operator.
var stateSentences = map[tasks.State]string{
	tasks.Accepted:  "Committed in the ledger; it is handed to the workers when its time and turn come.",
	tasks.Queued:    "Handed over; it waits for a free worker.",
	tasks.Running:   "A worker is at work on it.",
	tasks.Retrying:  "The last attempt failed; the next one is due at the time below.",
	tasks.Held:      "It waits for something, and goes on by itself when that has happened.",
	tasks.Succeeded: "Done; the result is stored.",
	tasks.Dead:      "Given up. Run hands it over again with a fresh budget.",
	tasks.Cancelled: "Stopped by somebody. Run takes it up again.",
	tasks.Skipped:   "There was nothing to do, and that is no failure.",
}

// holdSentences say more of some held jobs.
var holdSentences = map[tasks.Hold]string{
	tasks.HoldNoWorker:    "No worker that is at work has a handler for its kind. It goes on by itself as soon as one has, and is given up at the time below while others are at work all along.",
	tasks.HoldWorkersBusy: "Only some of the workers have a handler for its kind, and enough jobs of it are handed to them already. It goes on by itself.",
}

func (h *Handler) job(w http.ResponseWriter, r *http.Request) {
	ctx, id := r.Context(), r.PathValue("id")
	if !tasks.ValidID(id) {
		h.sayNo(w, r, http.StatusNotFound, "there is no such job")
		return
	}
	job, err := h.ledger.Get(ctx, id)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	v := newJobView(job)
	if newest, err := h.ledger.Find(ctx, job.Kind, job.UserID, job.ReportID); err == nil && newest.Revision > job.Revision {
		v.Newer, v.CanAnew = &newest, false
	} else if err != nil && !errors.Is(err, tasks.ErrNotFound) {
		h.fail(w, r, err)
		return
	}
	if v.Attempts, err = h.ledger.Attempts(ctx, id); err != nil {
		h.fail(w, r, err)
		return
	}
	if v.Events, err = h.ledger.Events(ctx, id); err != nil {
		h.fail(w, r, err)
		return
	}
	h.render(w, r, http.StatusOK, "job", "Job "+job.ID, v)
}

func newJobView(job tasks.Job) jobView {
	v := jobView{
		Job: job, Sentence: stateSentences[job.State], Shown: readResult(job.Result),
		CanRun:    job.State.CanMove(tasks.Accepted) && job.State != tasks.Running,
		CanAnew:   job.State == tasks.Succeeded || job.State == tasks.Skipped,
		CanCancel: job.State.CanMove(tasks.Cancelled),
		InAsynq:   job.State != tasks.Accepted && job.State != tasks.Held && job.State != tasks.Cancelled && job.Delivery > 0,
	}
	if job.Error != nil {
		v.Standing = standing(job.State)
	}
	if v.Standing {
		gaveUp := job.State == tasks.Dead
		v.Repair = gaveUp && (job.Error.Class == tasks.ClassNotAssessable || job.Error.Class == tasks.ClassInterviewMissing)
	}
	v.ErrorEN, v.ErrorZH = job.Sentence("en"), job.Sentence("zh")
	if s := holdSentences[job.Hold]; s != "" {
		v.Sentence, v.Standing = s, false // an older failure is not why it waits
	}
	return v
}

// standing tells whether a job of this state is in it because of its newest
// failure. In the others, that is over.
func standing(s tasks.State) bool {
	return s == tasks.Retrying || s == tasks.Held || s == tasks.Dead
}

// retryJob runs a job again as the form says: with what it has kept, without its
// steps, or evaluated anew. Then it leads to the next revision.
func (h *Handler) retryJob(w http.ResponseWriter, r *http.Request) {
	how, why, ok := h.readRetry(w, r)
	if !ok {
		return
	}
	h.act(w, r, "job.retry", how.Detail(why), "retried", func(id string) error {
		job, err := h.ledger.RetryWith(r.Context(), id, how, actor(r), fromHere("run from the dashboard", why))
		if err == nil && job.ID != id {
			r.PostForm.Set("back", h.prefix+"/jobs/"+job.ID)
		}
		return err
	})
}

// maxReason is how many characters the reason of an action may have.
const maxReason = 500

// readRetry reads how a form wants jobs to run again, and why.
func (h *Handler) readRetry(w http.ResponseWriter, r *http.Request) (how tasks.RetryOptions, why string, ok bool) {
	if !h.readForm(w, r) {
		return how, "", false
	}
	how = tasks.RetryOptions{NewRevision: r.PostForm.Get("anew") == "true", DropSteps: r.PostForm.Get("drop_steps") == "true"}
	why = strings.TrimSpace(r.PostForm.Get("why"))
	if !utf8.ValidString(why) || strings.ContainsRune(why, 0) || utf8.RuneCountInString(why) > maxReason {
		h.sayNo(w, r, http.StatusUnprocessableEntity, "the reason must have at most 500 characters")
		return how, "", false
	}
	return how, why, true
}

// fromHere is the reason of an action on a page.
func fromHere(what, why string) string {
	if why == "" {
		return what
	}
	return why + " (" + what + ")"
}

func (h *Handler) cancelJob(w http.ResponseWriter, r *http.Request) {
	h.act(w, r, "job.cancel", "", "cancelled", func(id string) error {
		_, err := h.ledger.Cancel(r.Context(), id, actor(r), "cancelled from the dashboard")
		return err
	})
}

// act carries out one action on the job that the path names, and leads back.
func (h *Handler) act(w http.ResponseWriter, r *http.Request, action, detail, deed string, do func(id string) error) {
	id := r.PathValue("id")
	if !tasks.ValidID(id) {
		h.sayNo(w, r, http.StatusNotFound, "there is no such job")
		return
	}
	if !h.readForm(w, r) || !h.audited(w, r, action, id, detail) {
		return
	}
	if err := do(id); err != nil {
		h.fail(w, r, err)
		return
	}
	h.done(w, r, deed, 1)
}
