// Package logwriter has a writer for logs that never waits for its reader: what a
// full pipe, a full disk or a closed file does not take is dropped and counted.
package logwriter

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"syscall"
	"time"
)

// Config tunes a Writer.
type Config struct {
	// Buffer is how many bytes may wait. Defaults to 4 MiB.
	Buffer int
	// Notice is what to write once writing goes on after lines were dropped, with
	// its newline. It must not write to the Writer. Defaults to nothing.
	Notice func(dropped int64) []byte
}

// Writer hands what it is given to another writer, in order, each Write as one
// record. Write neither blocks nor fails. It is safe for concurrent use.
//
// What still waits when the process dies is lost. Close hands it over first.
type Writer struct {
	out    io.Writer
	buffer int

	mu       sync.Mutex
	notice   func(dropped int64) []byte
	waiting  []record
	bytes    int           // that wait
	overflow int64         // dropped since the newest record that waits
	total    int64         // dropped ever
	idle     chan struct{} // closed when drain has ended; nil when none runs
	closed   bool

	// Of drain alone, one of which runs at a time.
	lost int64 // not told yet
	torn bool  // the newest record was written in part
}

type record struct {
	data   []byte
	before int64 // dropped between the record before and this one
}

// New makes a Writer. The caller closes it; out stays the caller's.
func New(out io.Writer, cfg *Config) *Writer {
	w := &Writer{out: out, buffer: 4 << 20}
	if cfg != nil {
		w.notice = cfg.Notice
		if cfg.Buffer > 0 {
			w.buffer = cfg.Buffer
		}
	}
	return w
}

// SetNotice replaces Config.Notice.
func (w *Writer) SetNotice(notice func(dropped int64) []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notice = notice
}

// Write takes a copy of p, or drops and counts it when there is no room. Its result
// is always len(p), nil: a log that cannot be written stops no caller.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.bytes > 0 && w.bytes+len(p) > w.buffer {
		w.overflow++
		w.total++
		return len(p), nil
	}
	w.waiting = append(w.waiting, record{bytes.Clone(p), w.overflow})
	w.bytes += len(p)
	w.overflow = 0
	if w.idle == nil {
		w.idle = make(chan struct{})
		go w.drain(w.idle)
	}
	return len(p), nil
}

// Dropped is how many records were dropped since New.
func (w *Writer) Dropped() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.total
}

// Close waits until everything is written, or for patience, and reports whether it
// was. Further records are dropped. A write that never ends is left behind.
func (w *Writer) Close(patience time.Duration) bool {
	w.mu.Lock()
	w.closed = true
	idle := w.idle
	w.mu.Unlock()
	if idle == nil {
		return true
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-idle:
		return true
	case <-late.C:
		return false
	}
}

// drain writes until nothing waits. Close waits for it.
func (w *Writer) drain(idle chan struct{}) {
	defer close(idle)
	for {
		r, ok := w.next()
		w.lost += r.before
		if w.lost > 0 && !w.tell() {
			if ok {
				w.lose()
				continue
			}
		} else if ok && !w.send(r.data) {
			w.lose()
		}
		if !ok && w.rest() {
			return
		}
	}
}

// next takes the oldest record. Without one, what was dropped since is to be told.
func (w *Writer) next() (record, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 {
		r := record{before: w.overflow}
		w.overflow = 0
		return r, false
	}
	r := w.waiting[0]
	w.waiting = w.waiting[1:]
	w.bytes -= len(r.data)
	return r, true
}

// rest reports whether there is nothing more to do, and ends this drain if so.
func (w *Writer) rest() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) > 0 || w.overflow > 0 && !w.closed {
		return false
	}
	w.idle = nil
	return true
}

func (w *Writer) lose() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost++
	w.total++
}

// tell says how many were dropped, and reports whether that was written.
func (w *Writer) tell() bool {
	w.mu.Lock()
	notice := w.notice
	w.mu.Unlock()
	if notice == nil || w.send(notice(w.lost)) {
		w.lost = 0
		return true
	}
	return false
}

// pause is between two tries at a descriptor that another process has made
// non-blocking, such as a shared terminal.
const pause = 20 * time.Millisecond

// send writes one record whole. A record that was cut off by an error is ended by a
// newline before the next, so that it spoils no other line.
func (w *Writer) send(data []byte) bool {
	if w.torn {
		data = append([]byte("\n"), data...)
	}
	for len(data) > 0 {
		n, err := w.out.Write(data)
		if n > 0 {
			w.torn = n < len(data)
		}
		data = data[min(max(n, 0), len(data)):]
		switch {
		case errors.Is(err, syscall.EAGAIN):
			time.Sleep(pause)
		case err != nil:
			return false
		case n <= 0:
			return false // against the rules of io.Writer
		}
	}
	return true
}
