package redisconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// asynq's archive script uses ZRANGE BYSCORE, which came with 6.2.
const minMajor, minMinor = 6, 2

// check talks to the server over one connection of its own, without the
// repeated attempts of the shared client, so that a wrong URL is told at once.
// It dials by itself because the client's pool prints each failure to dial.
func check(ctx context.Context, shared *redis.Options) error {
	conn, err := shared.Dialer(ctx, shared.Network, shared.Addr)
	if err != nil {
		return explain(ctx, err, shared)
	}
	defer conn.Close()
	o := *shared
	o.MaxRetries = -1
	o.DialerRetries = 1
	o.MaxActiveConns = 1
	o.Dialer = func(context.Context, string, string) (net.Conn, error) { return conn, nil }
	probe := redis.NewClient(&o)
	defer probe.Close()
	if err := awaitPing(ctx, probe); err != nil {
		return explain(ctx, err, shared)
	}
	info, err := probe.Info(ctx, "server").Result()
	if err != nil {
		return explain(ctx, err, shared)
	}
	return CheckVersion(info)
}

// awaitPing waits while the server is reading its data from disk.
func awaitPing(ctx context.Context, c *redis.Client) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := c.Ping(ctx).Err()
		if err == nil || !strings.Contains(err.Error(), "LOADING") {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// ErrOldServer is in the error about a server that is older than evalq needs.
var ErrOldServer = errors.New("the server is too old")

type tooOld struct{ what string }

const upgrade = "upgrade it or name another one"

func (e *tooOld) Error() string        { return e.what + "; " + upgrade }
func (e *tooOld) Is(target error) bool { return target == ErrOldServer }

// CheckVersion reads in an answer to INFO whether the server is Redis 6.2 or
// newer, or speaks as such. The error says what to do.
func CheckVersion(info string) error {
	version := Field(info, "redis_version")
	majorText, rest, _ := strings.Cut(version, ".")
	minorText, _, _ := strings.Cut(rest, ".")
	major, err1 := strconv.Atoi(majorText)
	minor, err2 := strconv.Atoi(minorText)
	if err1 != nil || err2 != nil {
		return &tooOld{fmt.Sprintf("the server says its version is %.40q: evalq needs Redis %d.%d or newer, or Valkey", version, minMajor, minMinor)}
	}
	if major < minMajor || major == minMajor && minor < minMinor {
		return &tooOld{fmt.Sprintf("the server is Redis %.20s: evalq needs %d.%d or newer, or Valkey", version, minMajor, minMinor)}
	}
	return nil
}

// Field is one value of an answer to INFO, empty when it is not there.
func Field(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// explain says what an error means for who typed the URL. It keeps err for
// callers that look for a cause.
func explain(ctx context.Context, err error, o *redis.Options) error {
	if notRedis(err) { // the client's words quote what it could not read
		return &stranger{err}
	}
	if advice := advice(ctx, err, o); advice != "" {
		return &explained{advice, err}
	}
	return err
}

// explained is an error with what it means for who typed the URL.
type explained struct {
	advice string
	err    error
}

func (e *explained) Error() string { return e.advice + ": " + e.err.Error() }
func (e *explained) Unwrap() error { return e.err }

// Advice takes an error of [Open] or [CheckVersion] apart: what is wrong, and what
// to do, which may be empty.
func Advice(err error) (what, do string) {
	var known *explained
	var other *stranger
	var old *tooOld
	switch {
	case errors.As(err, &known):
		return known.err.Error(), known.advice
	case errors.As(err, &other):
		return "what answers there does not speak Redis", "correct the host or the port"
	case errors.As(err, &old):
		return old.what, upgrade
	}
	return err.Error(), ""
}

// stranger is a server of another kind.
type stranger struct{ err error }

func (e *stranger) Error() string {
	return "this does not speak Redis: something else answers there; correct the host or the port"
}
func (e *stranger) Unwrap() error { return e.err }

// notRedis reports whether the client could not read the answer at all. It has
// no error of its own for that.
func notRedis(err error) bool {
	text := err.Error()
	return strings.HasPrefix(text, "redis: can't parse") || strings.HasPrefix(text, "redis: invalid reply")
}

func advice(ctx context.Context, err error, o *redis.Options) string {
	text := err.Error()
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case strings.Contains(text, "WRONGPASS"):
		return "the server refused the user name or password: correct them in the URL, with special characters percent-encoded"
	case strings.Contains(text, "NOAUTH"):
		return "the server wants a password: write redis://:password@host or redis://user:password@host"
	case strings.Contains(text, "NOPERM"):
		return "the server's access rules do not let this user do what evalq needs: allow it all keys, channels and commands"
	case strings.Contains(text, "LOADING"):
		return "the server is still reading its data from disk: try again when it is done"
	case strings.Contains(text, "DB index is out of range"):
		return fmt.Sprintf("the server has no database %d: name a lower one, or raise its setting `databases`", o.DB)
	case errors.As(err, &dns):
		return "the host's name is not known: correct it"
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, os.ErrNotExist):
		return "nothing answers there: start Redis, or correct the address"
	case errors.Is(err, os.ErrPermission):
		return "this user may not open the socket: run as its owner, or change its mode"
	case errors.As(err, &certificate):
		return "the server's certificate is not trusted: name its authority with ?ca_file=, add it to the system's (or SSL_CERT_FILE), or say ?skip_verify=true"
	case strings.Contains(text, "certificate required"), strings.Contains(text, "bad certificate"), strings.Contains(text, "unknown certificate authority"):
		return "the server wants a client's certificate that its authority has signed: name one with ?cert_file= and &key_file="
	case errors.As(err, &record):
		return "the server does not speak TLS: write redis:// for rediss://"
	case timedOut(ctx, err) && o.TLSConfig != nil:
		// Redis without TLS takes our greeting for the beginning of a command and waits for the rest.
		return "no answer in time: see that the address is right and the server runs; if it does not speak TLS, write redis:// for rediss://"
	case timedOut(ctx, err):
		return "no answer in time: see that the address is right, the server runs, and no firewall is between"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return "the server closed the connection: if it speaks TLS, write rediss:// for redis://"
	}
	return ""
}

func timedOut(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}
