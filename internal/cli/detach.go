package cli

import (
	"bytes"
	"log"
	"log/slog"
	"os/signal"
	"syscall"
	"time"

	"evalq/internal/config"
	"evalq/internal/logwriter"
)

// flushTimeout is how long the end of a server waits for a reader of its output.
const flushTimeout = 2 * time.Second

// detach makes a server independent of the readers of its output: one that is gone,
// or does not read, costs lines and never stops or ends the server. It gives the
// server's log.
func (p *program) detach(cfg *config.Config) *slog.Logger {
	signal.Ignore(syscall.SIGPIPE) // a write to a closed pipe is an error then
	lines := logwriter.New(p.errOut, &logwriter.Config{Notice: func(dropped int64) []byte {
		var line bytes.Buffer
		logger(&line, cfg).Warn("log lines were dropped because they could not be written", "dropped", dropped)
		return line.Bytes()
	}})
	out := logwriter.New(p.out, nil)
	p.detached = append(p.detached, out, lines)
	p.out, p.errOut = out, lines
	l := logger(lines, cfg)
	log.SetFlags(0) // what a library writes past the log
	log.SetOutput(slog.NewLogLogger(l.Handler(), slog.LevelWarn).Writer())
	return l
}

// flush waits for what a server has written last.
func (p *program) flush() {
	for _, w := range p.detached {
		w.Close(flushTimeout)
	}
}
