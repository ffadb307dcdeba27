package mq

import (
	"sync"
	"time"
)

// lonelyEvery is how often somebody is told of messages that nobody takes.
const lonelyEvery = time.Minute

// watch looks a minute after a message was published, and then each minute,
// whether messages wait and nobody takes them, and tells. It rests as soon as that
// is not so.
type watch struct {
	every time.Duration
	look  func() bool // tells if need be, and reports whether to look again

	mu     sync.Mutex
	timer  *time.Timer
	closed bool
	wg     sync.WaitGroup
}

// published makes sure that somebody looks.
func (w *watch) published() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer == nil && !w.closed {
		w.arm()
	}
}

func (w *watch) arm() {
	w.timer = time.AfterFunc(w.every, func() {
		w.mu.Lock()
		if w.closed {
			w.mu.Unlock()
			return
		}
		w.wg.Add(1)
		w.mu.Unlock()
		defer w.wg.Done()
		again := w.look()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.timer = nil
		if again && !w.closed {
			w.arm()
		}
	})
}

// close ends the looking and waits for a look under way.
func (w *watch) close() {
	w.mu.Lock()
	w.closed = true
	if w.timer != nil {
		w.timer.Stop()
	}
	w.mu.Unlock()
	w.wg.Wait()
}
