package redisconn

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestALineThatAsynqRepeatsIsPassedOnOnceAMinuteWithACountOfTheOthers(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	l := AsynqLog(slog.New(slog.NewTextHandler(&out, nil))).(*asynqLog)
	l.now = func() time.Time { return now }
	for second := range 120 { // Redis is away for two minutes
		now = now.Add(time.Second)
		l.Error(fmt.Sprintf("Failed to forward scheduled tasks: UNKNOWN: redis eval error: dial tcp 127.0.0.1:%d: connect: connection refused", 40_000+second))
		l.Error("Failed to forward scheduled tasks: UNKNOWN: redis eval error: read tcp: i/o timeout")
		l.Error("Failed to write server state data: UNKNOWN: EOF")
	}
	if got := strings.Count(out.String(), "\n"); got != 4 || !strings.Contains(out.String(), "left_out=119") || !strings.Contains(out.String(), "left_out=59") {
		t.Fatalf("%d lines:\n%s", got, out.String())
	}
	out.Reset()
	for n := range 50 {
		l.Warn(fmt.Sprintf("Retry exhausted for task id=%c-%d", 'a'+n%26, n))
		l.Warn(fmt.Sprintf("recoverer: could not retry lease expired task: NOT_FOUND: %d", n))
		l.Warn(fmt.Sprintf("recoverer: could not move task to archive: NOT_FOUND: %d", n))
		l.Error(fmt.Sprintf("Failed to delete expired completed tasks from queue %q: BUSY", fmt.Sprint("q", n)))
	}
	if got := strings.Count(out.String(), "\n"); got != 4 {
		t.Fatalf("%d lines of four kinds:\n%s", got, out.String())
	}
	// Kinds without end are no memory without end.
	for n := range 3 * asynqKinds {
		l.Error(strings.Repeat("x", n+1))
	}
	if len(l.kinds) > asynqKinds {
		t.Errorf("%d kinds are kept", len(l.kinds))
	}
}
