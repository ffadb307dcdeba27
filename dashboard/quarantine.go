package dashboard

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

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

// entryID reads the id in the path, or answers that there is none such.
func (h *Handler) entryID(w http.ResponseWriter, r *http.Request) (int64, bool) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil || id < 1 {
		h.sayNo(w, r, http.StatusNotFound, "there is no such entry")
		return 0, false
	}
	return id, true
}

// replayQuarantined tries an entry again. The ids are those of a damaged message,
// when a person knows better.
func (h *Handler) replayQuarantined(w http.ResponseWriter, r *http.Request) {
	id, ok := h.entryID(w, r)
	if !ok || !h.readForm(w, r) {
		return
	}
	var named [2]int64
	for i, field := range []string{"user", "report"} {
		text := strings.TrimSpace(r.PostForm.Get(field))
		if text == "" {
			continue
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 1 {
			h.sayNo(w, r, http.StatusUnprocessableEntity, field+": must be a whole number from 1 to 9223372036854775807")
			return
		}
		named[i] = n
	}
	detail := ""
	if named != [2]int64{} {
		detail = fmt.Sprintf("named user %d report %d", named[0], named[1])
	}
	if !h.audited(w, r, "quarantine.replay", strconv.FormatInt(id, 10), detail) {
		return
	}
	if _, err := h.ledger.Replay(r.Context(), id, named[0], named[1], actor(r)); err != nil {
		h.fail(w, r, err)
		return
	}
	h.done(w, r, "replayed", 1)
}

type bridgeView struct {
	Channels []bridgeRow
	Sum      tasks.BridgeChannel
}

type bridgeRow struct {
	tasks.BridgeChannel
	On bool // a bridge is subscribed
}

// bridgePage shows what old programs still publish, and what becomes of it.
func (h *Handler) bridgePage(w http.ResponseWriter, r *http.Request) {
	v, err := h.readBridge(r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	h.render(w, r, http.StatusOK, "bridge", "Bridge", v)
}

func (h *Handler) readBridge(r *http.Request) (v bridgeView, err error) {
	all, err := h.ledger.Bridge(r.Context())
	now := time.Now()
	for _, c := range all {
		v.Channels = append(v.Channels, bridgeRow{c, c.Subscribed(now)})
		v.Sum = v.Sum.Plus(c)
	}
	return v, err
}

// Off counts channels that no bridge is subscribed to, and that are in use.
func (v bridgeView) Off() (n int) {
	for _, c := range v.Channels {
		if !c.On && !c.Retired(time.Now()) {
			n++
		}
	}
	return n
}

func (h *Handler) discardQuarantined(w http.ResponseWriter, r *http.Request) {
	id, ok := h.entryID(w, r)
	if !ok {
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
