package redisconn

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"
)

// AsynqLog passes Asynq's own log on to log. Its level is lowered by one: what it
// calls a warning ("retry exhausted") is the daily business of who decides about
// tries. Asynq repeats some lines each second while Redis is away, so of the lines
// of one kind one a minute is passed on, with the number of those that were left
// out since the one before.
func AsynqLog(log *slog.Logger) asynq.Logger {
	return &asynqLog{log: log, now: time.Now, kinds: map[string]*repeated{}}
}

const (
	asynqLogEach = time.Minute // a kind
	asynqKinds   = 100         // that are told apart at a time
)

type asynqLog struct {
	log *slog.Logger
	now func() time.Time

	mu    sync.Mutex
	kinds map[string]*repeated
}

// repeated is a kind of line.
type repeated struct {
	at      time.Time // when one was passed on last
	leftOut int       // since then
}

func (l *asynqLog) put(level slog.Level, args []any) {
	ctx := context.Background()
	if !l.log.Enabled(ctx, level) {
		return
	}
	detail := strings.TrimSpace(fmt.Sprint(args...))
	if level < slog.LevelInfo {
		l.log.Log(ctx, level, "asynq", "detail", detail)
		return
	}
	leftOut, pass := l.pass(asynqKind(detail))
	switch {
	case !pass:
	case leftOut > 0:
		l.log.Log(ctx, level, "asynq", "detail", detail, "left_out", leftOut)
	default:
		l.log.Log(ctx, level, "asynq", "detail", detail)
	}
}

// pass tells whether a line of a kind is passed on, and how many before it were not.
func (l *asynqLog) pass(kind string) (leftOut int, pass bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	have := l.kinds[kind]
	switch {
	case have == nil && len(l.kinds) >= asynqKinds:
		clear(l.kinds)
		fallthrough
	case have == nil:
		l.kinds[kind] = &repeated{at: now}
		return 0, true
	case now.Sub(have.at) < asynqLogEach:
		have.leftOut++
		return 0, false
	}
	leftOut = have.leftOut
	*have = repeated{at: now}
	return leftOut, true
}

// particular is what differs between lines of one kind.
var particular = regexp.MustCompile(`"[^"]*"|id=\S+|\[[^\]]*\]|[0-9]+`)

// asynqKind is a line without its particulars and without the error at its end.
func asynqKind(detail string) string {
	line, _, _ := strings.Cut(detail, "\n")
	line = particular.ReplaceAllString(line, "…")
	parts := strings.SplitN(line, ": ", 3)
	if len(parts) > 1 && !strings.Contains(parts[0], " ") { // the name of a part of Asynq
		return parts[0] + ": " + parts[1]
	}
	return parts[0]
}

func (l *asynqLog) Debug(args ...any) { l.put(slog.LevelDebug-4, args) }
func (l *asynqLog) Info(args ...any)  { l.put(slog.LevelDebug, args) }
func (l *asynqLog) Warn(args ...any)  { l.put(slog.LevelInfo, args) }
func (l *asynqLog) Error(args ...any) { l.put(slog.LevelWarn, args) }
func (l *asynqLog) Fatal(args ...any) { l.put(slog.LevelError, args) }
