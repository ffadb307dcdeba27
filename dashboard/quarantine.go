package dashboard

import (
	"net/http"
	"strconv"

	"evalq/tasks"
)

const quarantineShown = 200

type quarantineView struct {
	Entries []tasks.Quarantined
	Open    int
	All     bool
}

// quarantinePage lists what came in and could not be read. It shows no bytes of
// it: they may be personal data.
func (h *Handler) quarantinePage(w http.ResponseWriter, r *http.Request) {
	all := r.URL.Query().Get("all") != ""
	entries, open, err := h.ledger.InQuarantine(r.Context(), all, quarantineShown)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	h.render(w, r, http.StatusOK, "quarantine", "Quarantine", quarantineView{entries, open, all})
}

func (h *Handler) discardQuarantined(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil || id < 1 {
		h.sayNo(w, r, http.StatusNotFound, "there is no such entry")
		return
	}
	if !h.readForm(w, r) || !h.audited(w, r, "quarantine.discard", strconv.FormatInt(id, 10), "") {
		return
	}
	if err := h.ledger.Settle(r.Context(), id, actor(r), "discarded"); err != nil {
		h.fail(w, r, err)
		return
	}
	h.done(w, r, "discarded", 1)
}
