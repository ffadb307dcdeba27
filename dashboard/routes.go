package dashboard

import (
	"net/http"
	"net/url"
	"strings"
)

// pagePolicy is the Content-Security-Policy of our own pages.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// routes puts everything together: headers, then what needs no sign-in, then
// the sign-in, then the pages and Asynqmon.
func (h *Handler) routes(mons *monitors, files http.Handler) http.Handler {
	inside := http.NewServeMux()
	p := h.prefix
	inside.HandleFunc("GET "+p+"/{$}", h.overview)
	inside.HandleFunc("GET "+p+"/live.json", h.live)
	inside.HandleFunc("GET "+p+"/jobs", h.jobs)
	inside.HandleFunc("POST "+p+"/jobs/retry", h.retryShown)
	inside.HandleFunc("GET "+p+"/jobs/{id}", h.job)
	inside.HandleFunc("POST "+p+"/jobs/{id}/retry", h.retryJob)
	inside.HandleFunc("POST "+p+"/jobs/{id}/cancel", h.cancelJob)
	inside.HandleFunc("GET "+p+"/interviews", h.findInterview)
	inside.HandleFunc("GET "+p+"/interviews/{report}", h.interview)
	inside.HandleFunc("POST "+p+"/interviews/{report}", h.saveInterview)
	inside.HandleFunc("POST "+p+"/interviews/{report}/suggested", h.saveSuggested)
	inside.HandleFunc("POST "+p+"/queues/{queue}/{verb}", h.pauseQueue)
	inside.HandleFunc("GET "+p+"/audit", h.auditPage)
	inside.HandleFunc("GET "+p+"/quarantine", h.quarantinePage)
	inside.HandleFunc("POST "+p+"/quarantine/{id}/discard", h.discardQuarantined)
	inside.HandleFunc("POST "+p+"/quarantine/{id}/replay", h.replayQuarantined)
	inside.HandleFunc("GET "+p+"/bridge", h.bridgePage)
	inside.Handle(p+"/asynqmon/", h.asynqmon(mons))
	inside.Handle("GET "+p+"/asynqmon", http.RedirectHandler(p+"/asynqmon/", http.StatusSeeOther))
	inside.HandleFunc(p+"/", h.notFound)

	outside := http.NewServeMux()
	outside.Handle("GET "+p+"/assets/", http.StripPrefix(p+"/assets/", files))
	outside.HandleFunc("GET "+p+"/sign-in", h.signInPage)
	outside.HandleFunc("POST "+p+"/sign-in", h.signIn)
	outside.HandleFunc("POST "+p+"/sign-out", h.signOut)
	outside.Handle(p+"/", h.auth.Protect(inside, h.turnAway))
	if p != "" {
		outside.Handle("GET "+p, http.RedirectHandler(p+"/", http.StatusSeeOther))
	}
	return secured(outside)
}

// secured sets the headers that every answer has. A handler may tighten or
// widen them.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", pagePolicy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("X-Frame-Options", "DENY")
		header.Set("Referrer-Policy", "same-origin")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// asynqmon serves what reads from Asynqmon and what changes something through
// the gate. A change that the gate does not know is refused.
func (h *Handler) asynqmon(mons *monitors) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if safe(r) {
			mon := mons.viewer
			if _, operator := IdentityOf(r.Context()); operator {
				mon = mons.operator
			}
			mon.ServeHTTP(w, r)
			return
		}
		c, ok := parseCall(r.Method, strings.TrimPrefix(r.URL.Path, h.prefix+"/asynqmon"))
		if !ok {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "refused: the dashboard does not know this action", http.StatusMethodNotAllowed)
			return
		}
		h.asynq.serve(w, r, c)
	})
}

// turnAway answers who may not come in: people are led to the sign-in page,
// programs get the status.
func (h *Handler) turnAway(w http.ResponseWriter, r *http.Request, status int, detail string) {
	page := h.prefix + "/sign-in?next=" + url.QueryEscape(r.URL.RequestURI())
	switch {
	case status == http.StatusUnauthorized && r.Header.Get("HX-Request") != "":
		w.Header().Set("HX-Redirect", h.prefix+"/sign-in")
		http.Error(w, detail, status)
	case status == http.StatusUnauthorized && safe(r) && wantsPage(r) && r.Header.Get("Authorization") == "" && h.cfg.Identify == nil:
		http.Redirect(w, r, page, http.StatusSeeOther)
	case wantsPage(r):
		h.sayNo(w, r, status, detail)
	default:
		http.Error(w, detail, status)
	}
}

func wantsPage(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), "text/html") }
