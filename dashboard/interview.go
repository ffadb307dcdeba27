package dashboard

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"evalq/tasks"
)

type interviewView struct {
	ReportID  int64
	Missing   bool
	Doc       *document
	Seen      string // identifies the document that the form was made from
	Suggested bool
	Jobs      []tasks.Job
	Wrong     string
}

func (h *Handler) findInterview(w http.ResponseWriter, r *http.Request) {
	id, bad := searchID(r.URL.Query().Get("report"))
	if bad || id == 0 {
		h.sayNo(w, r, http.StatusUnprocessableEntity, "give a report's id, a whole number from 1 to 9223372036854775807")
		return
	}
	http.Redirect(w, r, h.prefix+"/interviews/"+number(id), http.StatusSeeOther)
}

func (h *Handler) interview(w http.ResponseWriter, r *http.Request) {
	report, ok := h.report(w, r)
	if !ok {
		return
	}
	v, err := h.readInterview(r.Context(), report)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	status := http.StatusOK
	if v.Missing && len(v.Jobs) == 0 {
		status = http.StatusNotFound
	}
	h.render(w, r, status, "interview", "Interview of report "+number(report), v)
}

func (h *Handler) report(w http.ResponseWriter, r *http.Request) (int64, bool) {
	id, bad := searchID(r.PathValue("report"))
	if bad || id == 0 {
		h.sayNo(w, r, http.StatusNotFound, "there is no such report")
		return 0, false
	}
	return id, true
}

func (h *Handler) readInterview(ctx context.Context, report int64) (interviewView, error) {
	v := interviewView{ReportID: report}
	found, err := h.ledger.List(ctx, tasks.Filter{ReportID: report, Limit: jobsPerPage})
	if err != nil {
		return v, err
	}
	v.Jobs = found.Jobs
	raw, err := h.ledger.Interview(ctx, 0, report)
	if errors.Is(err, tasks.ErrNotFound) || tasks.ClassOf(err) == tasks.ClassInterviewMissing {
		v.Missing, v.Suggested = true, h.suggests(report)
		return v, nil
	}
	if err != nil {
		return v, err
	}
	v.Seen = fingerprint(raw)
	if v.Doc, err = readDocument(raw); err != nil {
		return v, err
	}
	v.Suggested = !v.Doc.assessable() && h.suggests(report)
	return v, nil
}

// Waiting tells whether one of the jobs is held until the interview arrives.
func (v interviewView) Waiting() bool {
	return slices.ContainsFunc(v.Jobs, func(j tasks.Job) bool { return j.State == tasks.Held && j.Hold == tasks.HoldInterviewMissing })
}

// unfinished tells whether something will yet happen to one of the jobs.
func unfinished(jobs []tasks.Job) bool {
	return slices.ContainsFunc(jobs, func(j tasks.Job) bool { return !j.State.Finished() })
}

func (h *Handler) suggests(report int64) bool {
	if h.cfg.Suggested == nil {
		return false
	}
	_, ok := h.cfg.Suggested(report)
	return ok
}

func fingerprint(doc []byte) string {
	sum := sha256.Sum256(doc)
	return hex.EncodeToString(sum[:])
}

// saveInterview stores the references and key points that the form holds. A
// form made from an older document is refused, so that two operators do not
// undo each other's work.
func (h *Handler) saveInterview(w http.ResponseWriter, r *http.Request) {
	report, ok := h.report(w, r)
	if !ok || !h.readForm(w, r) {
		return
	}
	v, err := h.readInterview(r.Context(), report)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if v.Missing {
		h.sayNo(w, r, http.StatusNotFound, "there is no interview for this report")
		return
	}
	if r.PostForm.Get("seen") != v.Seen {
		h.sayNo(w, r, http.StatusConflict, "the interview was changed by somebody else since this page was opened; go back, load it again and repeat your change")
		return
	}
	if err := v.Doc.edit(r.PostForm); err != nil {
		v.Wrong = err.Error()
		h.render(w, r, http.StatusUnprocessableEntity, "interview", "Interview of report "+number(report), v)
		return
	}
	doc, err := v.Doc.encode()
	if err != nil {
		h.fail(w, r, err)
		return
	}
	h.putInterview(w, r, report, doc, "interview.edit")
}

// saveSuggested stores the document that the configuration offers.
func (h *Handler) saveSuggested(w http.ResponseWriter, r *http.Request) {
	report, ok := h.report(w, r)
	if !ok || !h.readForm(w, r) {
		return
	}
	if h.cfg.Suggested == nil {
		h.notFound(w, r)
		return
	}
	doc, ok := h.cfg.Suggested(report)
	if !ok {
		h.sayNo(w, r, http.StatusNotFound, "nothing is suggested for this report")
		return
	}
	h.putInterview(w, r, report, doc, "interview.suggested")
}

// putInterview saves doc and, when the form asks so, runs the report's jobs
// again that gave up.
func (h *Handler) putInterview(w http.ResponseWriter, r *http.Request, report int64, doc []byte, action string) {
	if !h.audited(w, r, action, "report "+number(report), "") {
		return
	}
	changed, err := h.ledger.PutInterview(r.Context(), doc, actor(r))
	if err != nil {
		h.fail(w, r, err)
		return
	}
	r.PostForm.Set("back", h.prefix+"/interviews/"+number(report))
	if r.PostForm.Get("then") == "run" {
		n, err := h.runReport(r, report)
		if err != nil {
			h.fail(w, r, err)
			return
		}
		h.done(w, r, "saved-run", n)
		return
	}
	deed := "same"
	if changed {
		deed = "saved"
	}
	h.done(w, r, deed, 0)
}

// runReport hands a report's dead jobs over again.
func (h *Handler) runReport(r *http.Request, report int64) (int, error) {
	found, err := h.ledger.List(r.Context(), tasks.Filter{ReportID: report, State: tasks.Dead, Limit: 500})
	if err != nil || len(found.Jobs) == 0 {
		return 0, err
	}
	var ids []string
	for _, job := range found.Jobs {
		ids = append(ids, job.ID)
	}
	if err := h.audit(r, "job.retry", fmt.Sprintf("%d jobs of report %d", len(ids), report), ""); err != nil {
		return 0, err
	}
	return h.retryEach(r.Context(), ids, tasks.RetryOptions{}, actor(r), "")
}

// answerField names a form's field for one answer.
func answerField(name string, i int) string { return fmt.Sprintf("%s-%d", name, i) }

func formText(form url.Values, name string, i int) (string, bool) {
	values, ok := form[answerField(name, i)]
	if !ok || len(values) == 0 {
		return "", false
	}
	return values[0], true
}
