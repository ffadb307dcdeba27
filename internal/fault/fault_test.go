package fault

import (
	"context"
	"crypto/tls"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"

	"evalq/tasks"
)

// Errors in the shapes that SDKs of providers have.
type (
	einoError struct {
		Code           any
		Message        string
		HTTPStatusCode int
	}
	sdkError struct {
		StatusCode int
		Response   *http.Response
	}
	codeError   struct{ Code int }
	methodError struct{ status int }
	waitError   struct {
		HTTPStatusCode int
		RetryAfter     time.Duration
	}
	requestError struct {
		HTTPStatusCode int
		Err            error
	}
	appError struct {
		HTTPStatus int
		Err        error
	}
	nilPointer struct{ err error }
)

func (e *einoError) Error() string        { return "error: " + e.Message }
func (e *sdkError) Error() string         { return "an answer that is no success" }
func (e codeError) Error() string         { return "code" }
func (e *methodError) Error() string      { return "method" }
func (e *methodError) StatusCode() int    { return e.status }
func (e *waitError) Error() string        { return "wait" }
func (e *requestError) Error() string     { return "request" }
func (e *requestError) Unwrap() error     { return e.Err }
func (e *appError) Error() string         { return "[INTERNAL_ERROR] it failed" }
func (e *appError) Unwrap() error         { return e.Err }
func (e *nilPointer) Error() string       { return e.err.Error() }
func (e *nilPointer) HTTPStatus() int     { return len(e.err.Error()) }
func status(n int) error                  { return fmt.Errorf("evaluate: %w", &einoError{HTTPStatusCode: n}) }
func answer(h http.Header) *http.Response { return &http.Response{StatusCode: 429, Header: h} }

// called is what net/http's client returns.
func called(err error) error {
	return fmt.Errorf("chat: %w", &url.Error{Op: "Post", URL: "http://model", Err: err})
}

func TestTheClassIsReadFromWhatAClientCanMeet(t *testing.T) {
	t.Parallel()
	dial := &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 41234}, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	for _, c := range []struct {
		name string
		err  error
		want tasks.Class
	}{
		{"refused", called(dial), tasks.ClassUnavailable},
		{"a database that is away", fmt.Errorf("save: %w", dial), tasks.ClassStorage},
		{"refused without an address", &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}, tasks.ClassUnavailable},
		{"reset", called(&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}), tasks.ClassUnavailable},
		{"reset in a body", fmt.Errorf("read: %w", syscall.ECONNRESET), tasks.ClassUnavailable},
		{"broken pipe", syscall.EPIPE, tasks.ClassUnavailable},
		{"EOF", called(io.EOF), tasks.ClassUnavailable},
		{"cut body", fmt.Errorf("decode: %w", io.ErrUnexpectedEOF), tasks.ClassUnavailable},
		{"no such host", &net.DNSError{Err: "no such host", Name: "model", IsNotFound: true}, tasks.ClassUnavailable},
		{"certificate", called(&tls.CertificateVerificationError{Err: errors.New("expired")}), tasks.ClassUnavailable},
		{"handshake", called(errors.New("net/http: TLS handshake timeout")), tasks.ClassUnavailable},
		{"goaway", fmt.Errorf("stream: %w", errors.New("http2: server sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=NO_ERROR")), tasks.ClassUnavailable},
		{"stream error", fmt.Errorf("stream: %w", errors.New("stream error: stream ID 3; INTERNAL_ERROR; received from peer")), tasks.ClassUnavailable},
		{"deadline", fmt.Errorf("chat: %w", context.DeadlineExceeded), tasks.ClassUnavailable},
		{"os deadline", os.ErrDeadlineExceeded, tasks.ClassUnavailable},
		{"joined", errors.Join(errors.New("first"), called(io.EOF)), tasks.ClassUnavailable},
		{"transient beside permanent", errors.Join(status(400), status(429)), tasks.ClassRateLimited},
		{"a status in a transport of its own", called(&sdkError{StatusCode: 401}), tasks.ClassAuth},

		{"408", status(408), tasks.ClassUnavailable},
		{"409", status(409), tasks.ClassUnavailable},
		{"425", status(425), tasks.ClassUnavailable},
		{"429", status(429), tasks.ClassRateLimited},
		{"429 for good", &einoError{HTTPStatusCode: 429, Message: "insufficient_quota"}, tasks.ClassQuota},
		{"402", status(402), tasks.ClassQuota},
		{"500", status(500), tasks.ClassUnavailable},
		{"502", &sdkError{StatusCode: 502}, tasks.ClassUnavailable},
		{"503", &methodError{503}, tasks.ClassOverloaded},
		{"504", &requestError{HTTPStatusCode: 504, Err: errors.New("html")}, tasks.ClassUnavailable},
		{"524", status(524), tasks.ClassUnavailable},
		{"529", codeError{529}, tasks.ClassOverloaded},
		{"503 as a code", codeError{503}, tasks.ClassOverloaded},
		{"500 of a program's own", codeError{500}, ""},
		{"a code that is no status", codeError{7}, ""},
		{"of the response", &sdkError{Response: answer(nil)}, tasks.ClassRateLimited},
		{"401", status(401), tasks.ClassAuth},
		{"403", status(403), tasks.ClassAuth},
		{"400", status(400), tasks.ClassRefused},
		{"404", status(404), tasks.ClassRefused},
		{"413", status(413), tasks.ClassContextTooLong},
		{"422", status(422), tasks.ClassRefused},
		{"400 too long", &einoError{HTTPStatusCode: 400, Message: "context_length_exceeded"}, tasks.ClassContextTooLong},
		{"400 filtered", &einoError{HTTPStatusCode: 400, Message: "content_filter"}, tasks.ClassContentFiltered},

		{"bad connection", fmt.Errorf("save: %w", driver.ErrBadConn), tasks.ClassStorage},
		{"connection done", sql.ErrConnDone, tasks.ClassStorage},
		{"MySQL invalid connection", mysql.ErrInvalidConn, tasks.ClassStorage},
		{"MySQL lock", fmt.Errorf("save: %w", &mysql.MySQLError{Number: 1205}), tasks.ClassStorage},
		{"MySQL read only", &mysql.MySQLError{Number: 1290}, tasks.ClassStorage},
		{"MySQL value too long", &mysql.MySQLError{Number: 1406}, ""},
		{"PostgreSQL shuts down", &pgconn.PgError{Code: "57P01"}, tasks.ClassStorage},
		{"PostgreSQL duplicate", &pgconn.PgError{Code: "23505"}, ""},

		{"text: refused", fmt.Errorf("chat: %v", called(dial)), tasks.ClassUnavailable},
		{"text: status", errors.New("error, status code: 429, status: 429 Too Many Requests, message: slow down"), tasks.ClassRateLimited},
		{"text: reason", errors.New(`POST "https://model/v1": 503 Service Unavailable {}`), tasks.ClassOverloaded},
		{"text: MySQL", fmt.Errorf("save: %v", &mysql.MySQLError{Number: 1213, Message: "Deadlock found"}), tasks.ClassStorage},
		{"text: a timeout in its own words", errors.New("timeout waiting for the evaluation (120s)"), tasks.ClassUnavailable},
		{"an error of the program with a status to answer", &appError{HTTPStatus: 500, Err: driver.ErrBadConn}, tasks.ClassStorage},
		{"an error of the program with nothing below", &appError{HTTPStatus: 500}, ""},
		{"an error of the program's own", &appError{HTTPStatus: 404}, tasks.ClassRefused},
		{"text: never permanent", errors.New("error, status code: 400, message: no"), ""},
		{"text: an answer that speaks of it", errors.New(`cannot read "connection refused means 503 Service Unavailable" as JSON`), ""},

		{"its own", tasks.NewError(tasks.ClassNotAssessable, called(io.EOF)), tasks.ClassNotAssessable},
		{"a bug", errors.New("index out of range"), ""},
		{"a request that cannot be made", called(errors.New(`unsupported protocol scheme ""`)), ""},
		{"ended by the program", called(context.Canceled), ""},
		{"nil pointer", (*nilPointer)(nil), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var e *tasks.Error
			got := tasks.Class("")
			if errors.As(Guess(t.Context(), c.err), &e) {
				got = e.Class
			}
			if got != c.want {
				t.Errorf("class %q, want %q", got, c.want)
			}
		})
	}
}

func TestTheWaitThatAProviderAsksForIsRead(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"header":        &sdkError{Response: answer(http.Header{"Retry-After": {"7"}})},
		"milliseconds":  &sdkError{Response: answer(http.Header{"Retry-After-Ms": {"7000"}})},
		"duration":      fmt.Errorf("chat: %w", &waitError{429, 7 * time.Second}),
		"in the middle": errors.Join(errors.New("a"), &waitError{503, 7 * time.Second}),
	} {
		if got := tasks.RetryAfter(Guess(t.Context(), err)); got != 7*time.Second {
			t.Errorf("%s: %v", name, got)
		}
	}
	date := answer(http.Header{"Retry-After": {time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}})
	if got := tasks.RetryAfter(Guess(t.Context(), &sdkError{Response: date})); got < 59*time.Minute || got > time.Hour {
		t.Errorf("date: %v", got)
	}
	if got := tasks.RetryAfter(Guess(t.Context(), &waitError{429, -time.Second})); got != 0 {
		t.Errorf("below zero: %v", got)
	}
}

func TestACallThatATimeLimitEndsIsOneOfTheProvider(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer silent.Close()
	defer close(release)
	limit := tasks.NewError(tasks.ClassNoProgress, errors.New("no step was finished"))
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(limit)
	ask := func(ctx context.Context) error {
		r, _ := http.NewRequestWithContext(ctx, http.MethodPost, silent.URL, nil)
		_, err := http.DefaultClient.Do(r)
		return err
	}
	short, stop := context.WithTimeout(t.Context(), time.Millisecond)
	defer stop()
	for name, err := range map[string]error{
		"our limit":          Guess(ctx, ask(ctx)),
		"our limit, as text": Guess(ctx, fmt.Errorf("chat: %v", ask(ctx))),
		"our limit, bare":    Guess(ctx, ctx.Err()),
		"its own":            Guess(t.Context(), ask(short)),
		"its own, as text":   Guess(t.Context(), fmt.Errorf("chat: %v", ask(short))),
		"of the client":      Guess(t.Context(), func() error { _, err := (&http.Client{Timeout: time.Millisecond}).Get(silent.URL); return err }()),
	} {
		if tasks.ClassOf(err) != tasks.ClassUnavailable {
			t.Errorf("%s: %s: %v", name, tasks.ClassOf(err), err)
		}
	}
	if err := Guess(ctx, errors.New("another end")); tasks.ClassOf(err) != tasks.ClassInternal {
		t.Errorf("what has nothing to do with the limit: %v", err)
	}
	by, end := context.WithCancelCause(t.Context())
	end(errors.New("the subscription has ended"))
	if err := Guess(by, by.Err()); tasks.ClassOf(err) != tasks.ClassInternal {
		t.Errorf("an end that is no limit: %v", err)
	}
}
