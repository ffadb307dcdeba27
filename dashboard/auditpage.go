package dashboard

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"evalq/tasks"
)

const auditShown = 100

type auditView struct {
	Entries []tasks.AuditEntry
	SignIns bool   // the sign-ins are shown, and nothing else
	Next    string // address of the next page
	First   string // address of the first page, on the others
}

func (h *Handler) auditPage(w http.ResponseWriter, r *http.Request) {
	q := tasks.AuditQuery{SignIns: r.URL.Query().Get("of") == "sign-ins", Limit: auditShown + 1}
	if before := r.URL.Query().Get("before"); before != "" {
		n, err := strconv.ParseInt(before, 10, 64)
		if err != nil || n < 1 {
			h.fail(w, r, &tasks.InvalidError{Err: fmt.Errorf("before: must be the number of an entry")})
			return
		}
		q.Before = n
	}
	entries, err := h.ledger.AuditPage(r.Context(), q)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	view := auditView{Entries: entries, SignIns: q.SignIns}
	if len(entries) > auditShown {
		view.Entries = entries[:auditShown]
		view.Next = h.auditAddress(q.SignIns, view.Entries[auditShown-1].Seq)
	}
	if q.Before > 0 {
		view.First = h.auditAddress(q.SignIns, 0)
	}
	h.render(w, r, http.StatusOK, "audit", "Audit", view)
}

func (h *Handler) auditAddress(signIns bool, before int64) string {
	q := url.Values{}
	if signIns {
		q.Set("of", "sign-ins")
	}
	if before > 0 {
		q.Set("before", strconv.FormatInt(before, 10))
	}
	if len(q) == 0 {
		return h.prefix + "/audit"
	}
	return h.prefix + "/audit?" + q.Encode()
}
