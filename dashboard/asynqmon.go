package dashboard

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"regexp"
	"strings"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynqmon"
	"github.com/redis/go-redis/v9"

	"evalq/internal/redisconn"
	"evalq/tasks"
)

// monitor is Asynqmon as one role sees it.
type monitor struct {
	handler http.Handler
	redis   redis.UniversalClient
	log     *slog.Logger
	root    string // path at which it is mounted
	index   string // its page, with our bar; nonceMark stands for the nonce
	policy  string // the page's Content-Security-Policy, with nonceMark
}

// monitors are the two: a viewer's has no buttons.
type monitors struct{ operator, viewer *monitor }

const nonceMark = "evalq-nonce-goes-here"

func newAsynqmon(client redis.UniversalClient, prefix string, log *slog.Logger) (*monitors, error) {
	operator, err := newMonitor(client, prefix, log, false)
	if err != nil {
		return nil, err
	}
	viewer, err := newMonitor(client, prefix, log, true)
	return &monitors{operator, viewer}, err
}

func newMonitor(client redis.UniversalClient, prefix string, log *slog.Logger, readOnly bool) (*monitor, error) {
	m := &monitor{redis: client, log: log, root: prefix + "/asynqmon"}
	m.handler = asynqmon.New(asynqmon.Options{
		RootPath: m.root, RedisConnOpt: redisconn.ConnOpt(client), ReadOnly: readOnly,
		PayloadFormatter: asynqmon.PayloadFormatterFunc(showIDs),
		ResultFormatter:  asynqmon.ResultFormatterFunc(func(_ string, b []byte) string { return hidden(b) }),
	})
	request, err := http.NewRequest(http.MethodGet, m.root+"/", nil)
	if err != nil {
		return nil, err
	}
	var page buffer
	m.handler.ServeHTTP(&page, request)
	m.index, m.policy, err = dress(page.body.String(), prefix)
	return m, err
}

// showIDs is all of a payload that Asynqmon shows. It is no JSON, because the
// page would parse that and round the ids.
func showIDs(taskType string, payload []byte) string {
	p, err := tasks.Parse(tasks.Kind(taskType), payload)
	if err != nil {
		return hidden(payload)
	}
	user, report := p.Subject()
	return fmt.Sprintf("user %d, report %d", user, report)
}

func hidden(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return fmt.Sprintf("hidden, %d bytes", len(b))
}

var (
	// The web app manifest goes as well: browsers fetch it without the session.
	unwanted     = regexp.MustCompile(`<link[^>]*(fonts\.googleapis\.com|fonts\.gstatic\.com|rel="manifest")[^>]*>`)
	inlineScript = regexp.MustCompile(`(?s)<script>(.*?)</script>`)
)

// dress takes the two font links out of Asynqmon's page, puts our bar in, and
// works out the strictest policy under which it runs: its two inline scripts
// by their hashes, the styles it makes at run time by a nonce, which its
// styling library looks for in a meta element.
func dress(page, prefix string) (index, policy string, err error) {
	if !strings.Contains(page, "<head>") || !strings.Contains(page, "<body>") || !strings.Contains(page, `<div id="root">`) {
		return "", "", errors.New("its page is not of the form that this version of evalq knows")
	}
	page = unwanted.ReplaceAllString(page, "")
	scripts := []string{"'self'"}
	for _, match := range inlineScript.FindAllStringSubmatch(page, -1) {
		sum := sha256.Sum256([]byte(match[1]))
		scripts = append(scripts, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	}
	p := html.EscapeString(prefix)
	head := `<head><meta property="csp-nonce" content="` + nonceMark + `"/>` +
		`<link rel="stylesheet" href="` + p + `/assets/bar.css"/><script src="` + p + `/assets/bar.js" defer></script>`
	bar := `<body><nav id="evalq-bar" aria-label="evalq" data-root="` + p + `/"><a href="` + p + `/">evalq</a><a href="` + p +
		`/jobs">Jobs</a><a href="` + p + `/quarantine">Quarantine</a><a href="` + p + `/audit">Audit</a><span id="evalq-counts" role="status">…</span></nav>`
	page = strings.Replace(page, "<head>", head, 1)
	page = strings.Replace(page, "<body>", bar, 1)
	policy = "default-src 'none'; script-src " + strings.Join(scripts, " ") +
		"; style-src 'self' 'nonce-" + nonceMark + "'; img-src 'self' data:; font-src 'self'; connect-src 'self'" +
		"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return page, policy, nil
}

// ServeHTTP serves reading requests only; who changes something goes through
// the gate.
func (m *monitor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, m.root+"/api/") {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		m.serveAPI(w, r)
		return
	}
	var answer buffer
	m.handler.ServeHTTP(&answer, r)
	if answer.header.Get("Content-Type") == "" && answer.status < 300 {
		m.servePage(w) // only its page comes without a type, for every path that is no file
		return
	}
	if strings.HasPrefix(r.URL.Path, m.root+"/static/") && answer.status < 300 {
		w.Header().Set("Cache-Control", "private, max-age=31536000, immutable") // named by their hash
	}
	answer.sendTo(w)
}

// serveAPI gives Asynqmon's answer, unless that is the raw text of an error,
// which may hold the address of Redis.
func (m *monitor) serveAPI(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == m.root+"/api/metrics" {
		http.Error(w, "no Prometheus is connected to this page", http.StatusNotFound)
		return
	}
	var answer buffer
	m.handler.ServeHTTP(&answer, r)
	text := strings.TrimSpace(answer.body.String())
	switch {
	case answer.status < http.StatusInternalServerError:
		answer.sendTo(w)
	case !reachable(r.Context(), m.redis):
		w.Header().Set("Retry-After", "5")
		http.Error(w, redisIsAway, http.StatusServiceUnavailable)
	case isMissing(text):
		http.Error(w, noSuchTask, http.StatusNotFound)
	case strings.HasPrefix(text, "asynq: "):
		answer.sendTo(w)
	default:
		m.log.LogAttrs(r.Context(), slog.LevelError, "a request of Asynqmon's page failed", slog.String("err", text))
		http.Error(w, "Redis did not do what was asked; the program's log says why", http.StatusInternalServerError)
	}
}

// isMissing reports whether Asynq's error is that a queue, a task or a group does not
// exist. Asynqmon answers some of these with 500.
func isMissing(text string) bool {
	return strings.HasPrefix(text, "NOT_FOUND: ") || strings.HasSuffix(text, asynq.ErrQueueNotFound.Error()) || strings.HasSuffix(text, asynq.ErrTaskNotFound.Error())
}

func (m *monitor) servePage(w http.ResponseWriter) {
	nonce := rand.Text()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", strings.Replace(m.policy, nonceMark, nonce, 1))
	_, _ = w.Write([]byte(strings.Replace(m.index, nonceMark, nonce, 1)))
}

// buffer holds an answer until it is known what it is.
type buffer struct {
	header http.Header
	body   bytes.Buffer
	status int
}

func (b *buffer) Header() http.Header {
	if b.header == nil {
		b.header = http.Header{}
	}
	return b.header
}

func (b *buffer) WriteHeader(status int) {
	if b.status == 0 {
		b.status = status
	}
}

func (b *buffer) Write(p []byte) (int, error) {
	b.WriteHeader(http.StatusOK)
	return b.body.Write(p)
}

func (b *buffer) sendTo(w http.ResponseWriter) {
	for name, values := range b.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(cmp.Or(b.status, http.StatusOK))
	_, _ = w.Write(b.body.Bytes())
}
