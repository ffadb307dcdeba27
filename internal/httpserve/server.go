// Package httpserve serves HTTP so that clients which do not read, or do not
// send, cannot keep others out.
//
// The server holds at most Config.Connections connections. When all are taken, a
// new client gets the place of a connection that waits for its own client: of
// one that is not signed in before one that is, of the address with the most
// connections before others, and of those the one that has waited longest. A
// connection whose request is being worked on is not closed. When all are worked
// on, a reserve answers short requests, and the last places only probes.
//
// Each write renews its own deadline, so a client that reads gets an answer of
// any length. Few large answers are held in memory at once.
package httpserve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	headerTimeout = 10 * time.Second
	bodyTimeout   = time.Minute
	idleTimeout   = 2 * time.Minute
	writeTimeout  = 30 * time.Second
	writeChunk    = 64 << 10
	maxHeader     = 64 << 10

	// stalledAfter is how long a connection has to wait for its client before its
	// place or its memory is given to another while there is still room for new ones.
	stalledAfter = time.Second

	defaultConnections = 4096
	minConnections     = 16
)

// Config tunes a Server. The zero value works.
type Config struct {
	// Connections is how many are open at once, the reserve included. Defaults to
	// half of the process's limit of open files, from 16 to 4,096.
	Connections int
	// PerAddress is how many connections of one address, not signed in, may wait
	// for their client; one more takes the place of the one that has waited longest.
	// Addresses of the machine's loopback have no such bound, since a proxy there
	// brings everybody's requests. Defaults to a quarter of Connections.
	PerAddress int
	// Probes are the paths that are answered also when nothing else is. Defaults to
	// none.
	Probes []string
	// Busy answers a request for which there is no room. Defaults to a line of
	// text with the status 503. Retry-After is set by then.
	Busy http.HandlerFunc
	// WriteTimeout is how long a client may take to read a piece of 64 KiB of an
	// answer. Defaults to 30 s.
	WriteTimeout time.Duration
	// Logger gets a line for the connections closed or refused, at most one each 10
	// seconds. Defaults to slog.Default().
	Logger *slog.Logger
}

func (c *Config) withDefaults() (Config, error) {
	var d Config
	if c != nil {
		d = *c
	}
	if d.Connections < 0 || d.PerAddress < 0 {
		return d, errors.New("httpserve: Config.Connections and Config.PerAddress must not be below zero")
	}
	if d.Connections == 0 {
		d.Connections = max(int(min(fileLimit()/2, defaultConnections)), minConnections)
	}
	if limit := fileLimit(); uint64(d.Connections) >= limit {
		return d, fmt.Errorf("httpserve: %d connections need more than the %d files that this process may have open: raise that limit (ulimit -n) or allow fewer", d.Connections, limit)
	}
	if d.PerAddress == 0 {
		d.PerAddress = max(d.Connections/4, 1)
	}
	if d.WriteTimeout == 0 {
		d.WriteTimeout = writeTimeout
	}
	if d.Busy == nil {
		d.Busy = func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, busyText, http.StatusServiceUnavailable)
		}
	}
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	d.Probes = slices.Clone(d.Probes)
	return d, nil
}

const busyText = "too many connections; ask again in a moment"

// Server serves one handler on one listener.
type Server struct {
	cfg     Config
	bounds  bounds
	handler http.Handler
	http    *http.Server
	report  report

	mu    sync.Mutex
	conns map[*conn]struct{}
	held  int           // answers in memory of which the first byte or the last is not written
	loose int           // bytes of writes under way that no held answer accounts for
	freed chan struct{} // closed and renewed when held falls
}

// bounds are the numbers of connections from which on fewer are let in.
type bounds struct{ usual, brief, all int }

func newBounds(all int) bounds {
	probes := min(max(all/16, 2), 8)
	brief := min(max(all/8, 2), 16)
	return bounds{usual: max(all-probes-brief, 1), brief: max(all-probes, 2), all: max(all, 3)}
}

// New makes a Server. It opens nothing.
func New(handler http.Handler, cfg *Config) (*Server, error) {
	c, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg: c, bounds: newBounds(c.Connections), handler: handler,
		conns: map[*conn]struct{}{}, freed: make(chan struct{}), report: report{log: c.Logger},
	}
	s.report.now = s.Stats
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(c.Logger.Handler(), slog.LevelDebug),
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		ConnState: func(c net.Conn, state http.ConnState) {
			if state == http.StateIdle {
				c.(*conn).waits()
			}
		},
	}
	return s, nil
}

// Serve answers on l until Shutdown, and closes l. It then returns
// http.ErrServerClosed.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(&listener{l, s}); err != nil {
		return fmt.Errorf("httpserve: serve %s: %w", l.Addr(), err)
	}
	return nil
}

// Shutdown takes no more connections, waits for the requests under way until
// ctx ends, and closes the connections that are left.
func (s *Server) Shutdown(ctx context.Context) {
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
	s.report.end()
}

// serve is what every request passes.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(connKey{}).(*conn)
	probe := slices.Contains(s.cfg.Probes, r.URL.Path)
	c.begin(probe)
	defer c.finish()
	if c.zone > zoneUsual {
		w.Header().Set("Connection", "close")
		if c.zone == zoneProbes && !probe {
			s.busy(w, r)
			return
		}
		r = shorten(r)
	}
	if r.Body != nil && r.Body != http.NoBody {
		// The deadline ends with the body, so that it does not cut off a long poll.
		control := http.NewResponseController(w)
		_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
		r.Body = &body{r.Body, c, control}
	}
	s.handler.ServeHTTP(w, r)
}

// shorten has a long poll of the reserve answer soon, as its caller asks again
// anyway.
func shorten(r *http.Request) *http.Request {
	query := r.URL.Query()
	if !query.Has("wait") {
		return r
	}
	query.Set("wait", "1s")
	r = r.Clone(r.Context())
	r.URL.RawQuery = query.Encode()
	return r
}

func (s *Server) busy(w http.ResponseWriter, r *http.Request) {
	s.report.count(refused)
	w.Header().Set("Retry-After", "5")
	s.cfg.Busy(w, r)
}

// Stats is what a Server holds and has closed since it was made.
type Stats struct {
	Open    int   // connections at this moment
	Limit   int   // of them
	Refused int64 // connections and requests for which there was no room
	Evicted int64 // connections closed because their client kept others waiting
	Slow    int64 // connections closed because their client did not read in time
}

// Stats counts.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	open := len(s.conns)
	s.mu.Unlock()
	out := s.report.stats()
	out.Open, out.Limit = open, s.bounds.all
	return out
}
