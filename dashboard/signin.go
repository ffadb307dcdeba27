package dashboard

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"evalq/tasks"
)

type signInView struct {
	Next  string
	Name  string
	Wrong string
}

func (h *Handler) signInPage(w http.ResponseWriter, r *http.Request) {
	next := h.local(r.URL.Query().Get("next"))
	if _, no := h.auth.admit(r); no == nil {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return
	}
	if no := h.auth.screen(r); no != nil {
		h.sayNo(w, r, no.status, no.detail)
		return
	}
	h.render(w, r, http.StatusOK, "signin", "Sign in", signInView{Next: next})
}

func (h *Handler) signIn(w http.ResponseWriter, r *http.Request) {
	if no := h.auth.screen(r); no != nil {
		h.sayNo(w, r, no.status, no.detail)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	if err := r.ParseForm(); err != nil {
		h.sayNo(w, r, http.StatusBadRequest, "the form cannot be read")
		return
	}
	name, next := strings.TrimSpace(r.PostForm.Get("name")), h.local(r.PostForm.Get("next"))
	who, no := h.auth.byForm(r, name, r.PostForm.Get("secret"))
	if no != nil {
		h.noteFailure(r, name, no)
		no.setHeaders(w)
		h.render(w, r, no.status, "signin", "Sign in", signInView{Next: next, Name: name, Wrong: no.detail})
		return
	}
	r = withIdentity(r, who)
	if err := h.noteSignIn(r, who); err != nil {
		h.fail(w, r, err)
		return
	}
	id, expires := h.auth.sessions.begin(who.name, time.Now())
	h.setCookie(w, r, id, expires)
	http.Redirect(w, r, next, http.StatusSeeOther)
}

// noteSignIn writes who has come in: those who may change things to the audit log,
// viewers to the program's log, because what they do must not fill the other.
func (h *Handler) noteSignIn(r *http.Request, who identity) error {
	if who.operator {
		return h.audit(r, tasks.AuditSignIn, who.name, "")
	}
	h.cfg.Logger.LogAttrs(r.Context(), slog.LevelInfo, "a viewer signed in", slog.String("user", who.name), slog.String("remote", h.auth.remote(r)))
	return nil
}

// noteFailure writes a wrong secret to the audit log. What the brake does not
// let through is no try. A name that is no user's is left out: people type
// passwords into the wrong field.
func (h *Handler) noteFailure(r *http.Request, name string, no *refusal) {
	if no.status != http.StatusUnauthorized || !h.auth.failures.take(time.Now()) {
		return
	}
	target := "unknown"
	if _, ok := h.auth.users.named(name); ok {
		target = name
	}
	if err := h.audit(r, tasks.AuditSignInFailed, target, ""); err != nil {
		h.cfg.Logger.LogAttrs(r.Context(), slog.LevelWarn, "the audit log lacks a failed sign-in", slog.Any("err", err))
	}
}

func (h *Handler) signOut(w http.ResponseWriter, r *http.Request) {
	if no := h.auth.screen(r); no != nil {
		h.sayNo(w, r, no.status, no.detail)
		return
	}
	if cookie, err := r.Cookie(sessionCookie); err == nil {
		h.auth.sessions.end(cookie.Value)
	}
	h.setCookie(w, r, "", time.Unix(1, 0))
	http.Redirect(w, r, h.prefix+"/sign-in", http.StatusSeeOther)
}

func (h *Handler) setCookie(w http.ResponseWriter, r *http.Request, value string, expires time.Time) {
	http.SetCookie(w, &http.Cookie{
		Name: sessionCookie, Value: value, Path: h.prefix + "/", Expires: expires,
		HttpOnly: true, SameSite: http.SameSiteStrictMode,
		// A header that only claims TLS makes the cookie stricter, never laxer.
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
	})
}

// local gives back a path of ours, or the first page for anything else, so that
// no link can make the sign-in or a form lead to another site.
func (h *Handler) local(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(u.Path, h.prefix+"/") ||
		strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return h.prefix + "/"
	}
	return u.RequestURI()
}
