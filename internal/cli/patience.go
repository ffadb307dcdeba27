package cli

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// patience is when a person begins to wonder.
const patience = time.Second

// waiting hears from the client of each repetition and tells the person once,
// when the server has been away for long enough to wonder.
type waiting struct {
	tell func(cause string)

	mu    sync.Mutex
	since time.Time // the first repetition
	told  bool
}

// Enabled is true: nothing but repetitions comes here.
func (w *waiting) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs and WithGroup are not used by the client.
func (w *waiting) WithAttrs([]slog.Attr) slog.Handler { return w }
func (w *waiting) WithGroup(string) slog.Handler      { return w }

// Handle takes one repetition, with its cause and the pause before it.
func (w *waiting) Handle(_ context.Context, r slog.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.since.IsZero() {
		w.since = r.Time
	}
	cause, pause := "", time.Duration(0)
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "err":
			cause = a.Value.String()
		case "delay_ms":
			pause = time.Duration(a.Value.Int64()) * time.Millisecond
		}
		return true
	})
	if !w.told && r.Time.Add(pause).Sub(w.since) >= patience {
		w.told = true
		w.tell(cause)
	}
	return nil
}
