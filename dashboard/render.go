package dashboard

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"evalq/tasks"
)

// page is what every template gets.
type page struct {
	Title    string
	Name     string // of the template
	Prefix   string
	Build    string
	User     string
	Operator bool
	CanLeave bool   // there is a session to end
	Self     string // this page's path and query, for polling and for coming back
	Done     string // what the form before this page did
	Now      time.Time
	Data     any
}

var pageNames = []string{"overview", "jobs", "job", "interview", "audit", "quarantine", "bridge", "signin", "error"}

// parseTemplates gives each page's template, with the layout and the shared
// pieces in it.
func parseTemplates(prefix string, namespace tasks.Namespace) (map[string]*template.Template, error) {
	shared, err := template.New("layout").Funcs(template.FuncMap{
		"prefix": func() string { return prefix },
		"when":   when, "took": took, "elapsed": elapsed, "json": indent, "taskURL": taskURL(prefix, namespace), "jobOf": jobOf, "standing": standing, "unfinished": unfinished,
		"row": func(j tasks.Job, p page) jobRow { return jobRow{j, p} }, "jobTable": func(js []tasks.Job, p page) jobTable { return jobTable{js, p} },
		"list": func(title string, items lines) titled { return titled{title, items} },
		"inc":  func(n int) int { return n + 1 }, "rows": func(s string) int { return min(12, 2+strings.Count(s, "\n")) },
	}).ParseFS(assets, "assets/templates/layout.html", "assets/templates/pieces.html", "assets/templates/result.html")
	if err != nil {
		return nil, err
	}
	pages := map[string]*template.Template{}
	for _, name := range pageNames {
		one, err := shared.Clone()
		if err != nil {
			return nil, err
		}
		if pages[name], err = one.ParseFS(assets, "assets/templates/"+name+".html"); err != nil {
			return nil, err
		}
	}
	return pages, nil
}

// What a piece of a page gets beside the page.
type (
	jobRow struct {
		Job  tasks.Job
		Page page
	}
	jobTable struct {
		Jobs []tasks.Job
		Page page
	}
	titled struct {
		Title string
		Items lines
	}
)

// render writes a page, or nothing of it when the template fails.
func (h *Handler) render(w http.ResponseWriter, r *http.Request, status int, name, title string, data any) {
	user, operator := IdentityOf(r.Context())
	_, cookieErr := r.Cookie(sessionCookie)
	p := page{
		Title: title, Name: name, Prefix: h.prefix, Build: h.cfg.Build, User: user, Operator: operator,
		CanLeave: user != "" && cookieErr == nil && !h.auth.Open(), Self: self(r), Done: doneText(r), Now: time.Now(), Data: data,
	}
	var out bytes.Buffer
	if err := h.pages[name].ExecuteTemplate(&out, "layout", p); err != nil {
		h.cfg.Logger.LogAttrs(r.Context(), slog.LevelError, "a page cannot be rendered", slog.String("page", name), slog.Any("err", err))
		http.Error(w, "the page cannot be shown; the program's log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes())
}

// self is the path and query of a page that was read, without what a form left
// in it.
func self(r *http.Request) string {
	if !safe(r) {
		return ""
	}
	query := r.URL.Query()
	query.Del("done")
	query.Del("n")
	u := url.URL{Path: r.URL.Path, RawQuery: query.Encode()}
	return u.RequestURI()
}

// deeds are what a page can say that a form did. The address carries the key
// and a count, never a text.
var deeds = map[string]string{
	"retried":   "Handed over again with a fresh budget: %d.",
	"partly":    "Handed over again: %d. The others have moved on meanwhile.",
	"cancelled": "Cancelled: %d. A running job stops at its next step.",
	"saved":     "Saved. Jobs that waited for this interview go on by themselves.",
	"same":      "Nothing changed.",
	"saved-run": "Saved, and handed over again: %d.",
	"paused":    "Paused. Running jobs go on; no further one is started from this queue.",
	"resumed":   "Resumed.",
	"discarded": "Discarded.",
	"replayed":  "Submitted; its line among the settled ones names the job.",
}

func doneText(r *http.Request) string {
	format, ok := deeds[r.URL.Query().Get("done")]
	if !ok {
		return ""
	}
	if !strings.Contains(format, "%d") {
		return format
	}
	n, _ := strconv.Atoi(r.URL.Query().Get("n"))
	return fmt.Sprintf(format, n)
}

// done leads back to where the form came from.
func (h *Handler) done(w http.ResponseWriter, r *http.Request, deed string, n int) {
	u, err := url.Parse(h.local(back(r)))
	if err != nil {
		u = &url.URL{Path: h.prefix + "/"}
	}
	query := u.Query()
	query.Set("done", deed)
	query.Set("n", strconv.Itoa(n))
	u.RawQuery = query.Encode()
	http.Redirect(w, r, u.String(), http.StatusSeeOther)
}

func withIdentity(r *http.Request, who identity) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), identityKey{}, who))
}

// moment is a time as the pages show it.
type moment struct{ ISO, Ago string }

func when(now, t time.Time) moment {
	if t.IsZero() {
		return moment{}
	}
	return moment{t.UTC().Format(time.RFC3339), since(now, t)}
}

// since says how far t is from now, in one unit.
func since(now, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	d := now.Sub(t)
	if d < 0 {
		return "in " + rough(-d)
	}
	if d < time.Second {
		return "now"
	}
	return rough(d) + " ago"
}

func rough(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", max(1, int(d.Seconds())))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// took is the time between two moments; without an end, until now.
func took(now, from, to time.Time) string {
	if from.IsZero() {
		return ""
	}
	if to.IsZero() {
		to = now
	}
	d := to.Sub(from)
	switch {
	case d < 0:
		return ""
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}

func elapsed(now, from time.Time) string { return took(now, from, time.Time{}) }

// jobOf gives the job that an audit entry's target names, or "".
func jobOf(target string) string {
	if id, _, err := tasks.ParseTaskID(target); err == nil {
		return id
	}
	if tasks.ValidID(target) {
		return target
	}
	return ""
}

// indent lays JSON out for reading. It keeps every digit.
func indent(raw json.RawMessage) string {
	var out bytes.Buffer
	if json.Indent(&out, raw, "", "  ") != nil {
		return string(raw)
	}
	return out.String()
}

// taskURL leads to a job's task in Asynqmon.
func taskURL(prefix string, namespace tasks.Namespace) func(tasks.Job) string {
	return func(j tasks.Job) string {
		return prefix + "/asynqmon/queues/" + namespace.Queue(j.Priority) + "/tasks/" + j.TaskID()
	}
}
