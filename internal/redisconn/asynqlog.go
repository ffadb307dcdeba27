package redisconn

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/hibiken/asynq"
)

// AsynqLog passes Asynq's own log on to log. Its level is lowered by one: what it
// calls a warning ("retry exhausted") is the daily business of who decides about
// tries.
func AsynqLog(log *slog.Logger) asynq.Logger { return asynqLog{log} }

type asynqLog struct{ log *slog.Logger }

func (l asynqLog) put(level slog.Level, args []any) {
	l.log.Log(context.Background(), level, "asynq", "detail", strings.TrimSpace(fmt.Sprint(args...)))
}

func (l asynqLog) Debug(args ...any) { l.put(slog.LevelDebug-4, args) }
func (l asynqLog) Info(args ...any)  { l.put(slog.LevelDebug, args) }
func (l asynqLog) Warn(args ...any)  { l.put(slog.LevelInfo, args) }
func (l asynqLog) Error(args ...any) { l.put(slog.LevelWarn, args) }
func (l asynqLog) Fatal(args ...any) { l.put(slog.LevelError, args) }
