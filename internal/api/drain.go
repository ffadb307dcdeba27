package api

import (
	"io"
	"net/http"
	"time"
)

const (
	maxDrain  = 8 << 20
	drainTime = 2 * time.Second
)

// drain reads on what a refused caller still sends, within bounds. Most callers
// send all before they read, and closing the connection on them would take the
// answer away with it.
func drain(w http.ResponseWriter, r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	if r.Header.Get("Expect") != "" && r.ContentLength >= 0 {
		return // it waits for leave to send, or has sent all; reading would give leave
	}
	// A writer without a connection has nobody to wait for.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(drainTime))
	_, _ = io.CopyN(io.Discard, r.Body, maxDrain)
}
