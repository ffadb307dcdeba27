package dashboard

import (
	"net/http"

	"evalq/tasks"
)

const auditShown = 200

type auditView struct {
	Entries []tasks.AuditEntry
	Limit   int
}

func (h *Handler) auditPage(w http.ResponseWriter, r *http.Request) {
	entries, err := h.ledger.AuditLog(r.Context(), auditShown)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	h.render(w, r, http.StatusOK, "audit", "Audit", auditView{entries, auditShown})
}
