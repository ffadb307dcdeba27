package dashboard

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"evalq/tasks"
)

const newestFailures = 8

type overviewView struct {
	Quarantined int
	Bridge      bridgeView
	Messages    messagesView
	tasks.Overview
	States   []tasks.State
	Rows     []queueRow
	Total    queueRow
	Workers  []tasks.Worker
	Slots    int
	Busy     int
	Stuck    int
	Failures []tasks.Job
}

type queueRow struct {
	Queue  tasks.Priority
	Paused bool
	Counts []int // in the order of States
	Oldest *tasks.Job
}

// Of gives the count of a state.
func (v overviewView) Of(s string) int { return v.Count(tasks.State(s)) }

func (h *Handler) overview(w http.ResponseWriter, r *http.Request) {
	view, err := h.readOverview(r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	h.render(w, r, http.StatusOK, "overview", "Overview", view)
}

func (h *Handler) readOverview(r *http.Request) (overviewView, error) {
	ctx := r.Context()
	counts, err := h.ledger.Overview(ctx)
	if err != nil {
		return overviewView{}, err
	}
	paused, err := h.ledger.Paused(ctx)
	if err != nil {
		return overviewView{}, err
	}
	dead, err := h.ledger.List(ctx, tasks.Filter{State: tasks.Dead, Limit: 50})
	if err != nil {
		return overviewView{}, err
	}
	v := overviewView{Overview: counts, States: tasks.States(), Workers: counts.Workers, Failures: dead.Jobs}
	if _, v.Quarantined, err = h.ledger.InQuarantine(ctx, false, 1); err != nil {
		return overviewView{}, err
	}
	if v.Bridge, err = h.readBridge(r); err != nil {
		return overviewView{}, err
	}
	v.Messages = h.messages.read(ctx)
	v.count(paused)
	slices.SortStableFunc(v.Failures, func(a, b tasks.Job) int { return b.FinishedAt.Compare(a.FinishedAt) })
	v.Failures = v.Failures[:min(len(v.Failures), newestFailures)]
	slices.SortStableFunc(v.Workers, func(a, b tasks.Worker) int { return cmp.Compare(a.ID, b.ID) })
	return v, nil
}

// count lays the counts out as a table and sums the workers up.
func (v *overviewView) count(paused map[tasks.Priority]bool) {
	v.Total.Counts = make([]int, len(v.States))
	for _, queue := range tasks.Priorities() {
		row := queueRow{Queue: queue, Paused: paused[queue], Counts: make([]int, len(v.States))}
		if job, ok := v.Oldest[queue]; ok {
			row.Oldest = &job
		}
		for i, state := range v.States {
			row.Counts[i] = v.Queues[queue][state]
			v.Total.Counts[i] += row.Counts[i]
		}
		v.Rows = append(v.Rows, row)
	}
	for _, worker := range v.Workers {
		v.Slots += worker.Slots
		v.Busy += len(worker.Running)
		for _, attempt := range worker.Running {
			if attempt.Stuck {
				v.Stuck++
			}
		}
	}
}

// live feeds the bar above Asynqmon.
func (h *Handler) live(w http.ResponseWriter, r *http.Request) {
	counts, err := h.ledger.Overview(r.Context())
	if err != nil {
		status, text := explain(r.Context(), h.cfg.Logger, err)
		http.Error(w, text, status)
		return
	}
	states := map[tasks.State]int{}
	for _, state := range tasks.States() {
		states[state] = counts.Count(state)
	}
	w.Header().Set("Content-Type", "application/json")
	m := h.messages.read(r.Context())
	_ = json.NewEncoder(w).Encode(map[string]any{
		"states": states, "workers": len(counts.Workers),
		"messages": map[string]any{"queue": m.Queue, "dead": m.Dead, "consumers": len(m.Consumers)},
	})
}

// pauseQueue does from our page what Asynqmon's buttons do.
func (h *Handler) pauseQueue(w http.ResponseWriter, r *http.Request) {
	queue, v := tasks.Priority(r.PathValue("queue")), verb(r.PathValue("verb"))
	if queue.Validate() != nil || v != verbPause && v != verbResume {
		h.notFound(w, r)
		return
	}
	if !h.readForm(w, r) || !h.audited(w, r, "queue."+string(v), string(queue), "") {
		return
	}
	if err := h.asynq.pause(r.Context(), h.cfg.Namespace.Queue(queue), v == verbPause, actor(r)); err != nil {
		status, text := h.asynq.explain(r, err)
		h.sayNo(w, r, status, text)
		return
	}
	h.done(w, r, strings.TrimSuffix(string(v), "e")+"ed", 1)
}

// readForm reads a form of ours and answers itself when it cannot.
func (h *Handler) readForm(w http.ResponseWriter, r *http.Request) bool {
	r.Body = http.MaxBytesReader(w, r.Body, 4<<20)
	if err := r.ParseForm(); err != nil {
		h.sayNo(w, r, http.StatusBadRequest, "the form cannot be read, or is larger than 4 MiB")
		return false
	}
	return true
}

// audited writes down what is about to be done, and refuses it when that fails.
func (h *Handler) audited(w http.ResponseWriter, r *http.Request, action, target, detail string) bool {
	if err := h.audit(r, action, target, detail); err != nil {
		h.cfg.Logger.ErrorContext(r.Context(), "an action is refused because it cannot be written to the audit log", "action", action, "err", err)
		h.sayNo(w, r, http.StatusServiceUnavailable, "refused: the audit log cannot be written; nothing was changed")
		return false
	}
	return true
}
