package dashboard

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"evalq/internal/httpserve"
	"evalq/internal/secret"
)

// Auth knows who may come in. It accepts a session of the sign-in page, a
// token ("Authorization: Bearer <secret>") or a name and password
// ("Authorization: Basic …"), refuses what another site's page makes a browser
// send, lets viewers only read, and slows down who guesses.
//
// After 5 wrong secrets an address has to wait, first 1 s, at last 5 minutes
// after each further one. Until then it is answered 429 and learns nothing,
// also for the right secret. The form and the Authorization header are counted
// apart, so that neither locks the other out. In the header a wrong secret that
// is sent again is answered 401 and counts once: it tells a guesser nothing, and
// a program with an old token locks nobody out behind the same proxy. There a
// right secret of 22 or more characters always passes: as random letters and
// digits they are over 128 bits, and no number of guesses finds that.
//
// Without users everybody is the operator "local", and then only requests whose
// Host header names this machine's loopback are served: a page elsewhere that
// points its own name at 127.0.0.1 gets nothing. Who listens beyond loopback
// must have users.
//
// An Auth is safe for concurrent use.
type Auth struct {
	users     *users
	sessions  *sessions
	passwords *brake // of the sign-in form
	tokens    *brake // of Authorization headers
	failures  *quota // entries about failed sign-ins
	origin    *http.CrossOriginProtection
	remote    func(*http.Request) string
	identify  func(*http.Request) (string, bool, bool)
}

// NewAuth copies the users. It refuses secrets under 8 characters, and names
// or secrets that are given twice.
func NewAuth(users []User) (*Auth, error) {
	known, err := newUsers(users)
	if err != nil {
		return nil, fmt.Errorf("dashboard: %w", err)
	}
	return &Auth{
		users: known, sessions: newSessions(), passwords: newBrake(), tokens: newBrake(), failures: &quota{},
		origin: http.NewCrossOriginProtection(), remote: connectionAddress,
	}, nil
}

// Open reports whether there are no users, so that everybody is the operator.
func (a *Auth) Open() bool { return len(a.users.list) == 0 && a.identify == nil }

// Protect lets to next only who may do what they ask; next finds them with
// IdentityOf. Problem answers everybody else, with 401, 403 or 429, and with 503
// while too many answers are being made; the headers WWW-Authenticate and
// Retry-After are set by then, and detail is meant for the caller.
func (a *Auth) Protect(next http.Handler, problem func(w http.ResponseWriter, r *http.Request, status int, detail string)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, no := a.admit(r)
		if no == nil && !safe(r) && !who.operator {
			no = &refusal{status: http.StatusForbidden, detail: "a viewer may only read; this needs the role operator"}
		}
		if no != nil {
			no.setHeaders(w)
			problem(w, r, no.status, no.detail)
			return
		}
		r = withIdentity(r, who)
		if !a.Open() {
			httpserve.SignedIn(r.Context(), who.operator)
		}
		if err := httpserve.Hold(r); err != nil {
			w.Header().Set("Retry-After", "5")
			problem(w, r, http.StatusServiceUnavailable, httpserve.ErrBusy.Error())
			return
		}
		next.ServeHTTP(w, r)
	})
}

type identity struct {
	name     string
	operator bool
}

type identityKey struct{}

// IdentityOf tells who sent the request that ctx belongs to, behind Protect or
// the dashboard. Elsewhere the name is empty.
func IdentityOf(ctx context.Context) (name string, operator bool) {
	who, _ := ctx.Value(identityKey{}).(identity)
	return who.name, who.operator
}

type refusal struct {
	status int
	detail string
	wait   time.Duration
}

func (n *refusal) setHeaders(w http.ResponseWriter) {
	switch n.status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="evalq"`)
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(n.wait.Seconds()))))
	}
}

// admit says who sent r, or why it is refused.
func (a *Auth) admit(r *http.Request) (identity, *refusal) {
	if no := a.screen(r); no != nil {
		return identity{}, no
	}
	if a.identify != nil {
		if name, operator, ok := a.identify(r); ok {
			return identity{name, operator}, nil
		}
		return identity{}, &refusal{status: http.StatusUnauthorized, detail: "sign in first"}
	}
	if a.Open() {
		return identity{"local", true}, nil
	}
	if header := r.Header.Get("Authorization"); header != "" {
		return a.byHeader(r, header)
	}
	if cookie, err := r.Cookie(sessionCookie); err == nil {
		if name, ok := a.sessions.user(cookie.Value, time.Now()); ok {
			if who, ok := a.users.named(name); ok {
				return who, nil
			}
		}
	}
	return identity{}, &refusal{status: http.StatusUnauthorized, detail: "sign in, or send a token: Authorization: Bearer <token>"}
}

// screen refuses what no identity would make right.
func (a *Auth) screen(r *http.Request) *refusal {
	if a.Open() && !loopbackHost(r.Host) {
		return &refusal{status: http.StatusForbidden, detail: "without users only localhost is served; configure a user to serve other names"}
	}
	if err := a.origin.Check(r); err != nil {
		return &refusal{status: http.StatusForbidden, detail: "refused: the request comes from another site's page"}
	}
	return nil
}

func (a *Auth) byHeader(r *http.Request, header string) (identity, *refusal) {
	name, given := "", ""
	if scheme, token, _ := strings.Cut(header, " "); strings.EqualFold(scheme, "Bearer") {
		given = strings.TrimSpace(token)
	} else if user, password, ok := r.BasicAuth(); ok {
		name, given = user, password
	}
	if secret.Strong(given) {
		if who, ok := a.users.find(name, given); ok {
			return who, nil
		}
	}
	return a.check(r, a.tokens, a.users.digest(name+"\x00"+given), name, given)
}

// byForm checks what was typed. Each try counts, also of the same secret, since
// each is written to the audit log.
func (a *Auth) byForm(r *http.Request, name, secret string) (identity, *refusal) {
	return a.check(r, a.passwords, noMark, name, secret)
}

// check looks a secret up, if the brake allows.
func (a *Auth) check(r *http.Request, b *brake, guess mark, name, secret string) (identity, *refusal) {
	var who identity
	ok, wait := b.try(a.remote(r), guess, time.Now(), func() (found bool) {
		who, found = a.users.find(name, secret)
		return found
	})
	switch {
	case wait > 0:
		return identity{}, &refusal{http.StatusTooManyRequests, "too many wrong passwords from this address; wait " + wait.Round(time.Second).String(), wait}
	case !ok:
		return identity{}, &refusal{status: http.StatusUnauthorized, detail: "the name or the secret is wrong"}
	}
	return who, nil
}

func safe(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// connectionAddress is the other end's address without its port.
func connectionAddress(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// loopbackHost reports whether a Host header names this machine's loopback.
func loopbackHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
