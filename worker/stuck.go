package worker

import (
	"bytes"
	"context"
	"runtime"
	"strconv"
	"time"
)

// watch marks the attempt as stuck when its handler has not returned
// StuckAfter past the end of its context. The returned function, called when
// the handler has returned, takes the mark back in the slot count; the ledger
// keeps the stack.
func (a *attempt) watch(ctx context.Context) (returned func()) {
	id := goroutineID()
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(a.s.cfg.StuckAfter)
		defer t.Stop()
		select {
		case <-done:
			return
		case <-t.C:
		}
		a.s.cfg.Logger.Error("a handler does not stop", "job", a.job.Ref(), "past_limit", a.s.cfg.StuckAfter)
		wctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := a.s.ledger.Stuck(wctx, a.fence, stackOf(id)); err != nil {
			a.s.cfg.Logger.Warn("a stuck handler could not be noted", "job", a.job.Ref(), "err", err)
		}
		select {
		case <-done:
			return // it came back while its stack was written down
		default:
		}
		a.s.countStuck(+1)
		<-done
		a.s.countStuck(-1)
	})
	return func() {
		close(done)
		stop()
	}
}

// goroutineID reads the number that stack dumps give this goroutine. It only
// serves to find the right stack in a dump.
func goroutineID() string {
	buf := make([]byte, 64)
	fields := bytes.Fields(buf[:runtime.Stack(buf, false)])
	if len(fields) < 2 {
		return ""
	}
	if _, err := strconv.Atoi(string(fields[1])); err != nil {
		return ""
	}
	return string(fields[1])
}

// stackOf finds one goroutine's stack in a dump of all.
func stackOf(id string) string {
	buf := make([]byte, 8<<20)
	dump := buf[:runtime.Stack(buf, true)]
	for _, s := range bytes.Split(dump, []byte("\n\n")) {
		if bytes.HasPrefix(s, []byte("goroutine "+id+" ")) {
			return clip16k(string(s))
		}
	}
	return ""
}

func clip16k(s string) string { return s[:min(len(s), 16<<10)] }
