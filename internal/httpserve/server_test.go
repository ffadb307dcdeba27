package httpserve

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const patience = 60 * time.Second

// world is a Server whose clients choose the address they seem to come from.
type world struct {
	*Server
	t    *testing.T
	l    *addressed
	log  *lockedBuffer
	done chan error
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// addressed is a listener whose connections come from the addresses that next has.
type addressed struct {
	net.Listener
	next chan net.Addr
}

type from struct {
	*net.TCPConn
	address net.Addr
}

func (f from) RemoteAddr() net.Addr { return f.address }

func (a *addressed) Accept() (net.Conn, error) {
	c, err := a.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return from{c.(*net.TCPConn), <-a.next}, nil
}

func newWorld(t *testing.T, cfg Config, handler http.HandlerFunc) *world {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, l: &addressed{l, make(chan net.Addr, 1)}, log: &lockedBuffer{}, done: make(chan error, 1)}
	cfg.Logger = slog.New(slog.NewTextHandler(w.log, nil))
	cfg.Probes = []string{"/healthz"}
	if w.Server, err = New(handler, &cfg); err != nil {
		t.Fatal(err)
	}
	go func() { w.done <- w.Serve(w.l) }()
	t.Cleanup(w.stop)
	return w
}

func (w *world) stop() {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	w.Shutdown(ended)
	if err := <-w.done; !errors.Is(err, http.ErrServerClosed) {
		w.t.Errorf("Serve: %v", err)
	}
	w.done <- http.ErrServerClosed
}

// dial connects from ip and sends text.
func (w *world) dial(ip, text string) net.Conn {
	w.t.Helper()
	before := w.Stats()
	w.l.next <- &net.TCPAddr{IP: net.ParseIP(ip), Port: 1}
	c, err := net.Dial("tcp", w.l.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, text); err != nil && w.Stats().Refused == before.Refused {
		w.t.Fatal(err)
	}
	return c
}

func get(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n" }

// status is that of the answer that comes over c, and body what it has.
func status(t *testing.T, c net.Conn) (int, string) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("the answer broke off: %v", err)
	}
	return resp.StatusCode, string(body)
}

// closed waits until the server has closed c.
func closed(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c); isTimeout(err) {
		t.Fatal("the server did not close the connection")
	}
}

// open reports that the server has not closed c.
func open(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatalf("the server closed the connection: %v", err)
	}
	if code, _ := status(t, c); code != http.StatusOK {
		t.Fatalf("the connection was answered %d", code)
	}
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline, look := time.After(patience), time.NewTicker(5*time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("it did not happen that %s", what)
		case <-look.C:
		}
	}
}

func hello(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }

// zeros are the bytes of a long answer.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestAClientThatReadsSlowlyGetsAnAnswerThatTakesManyTimesTheWriteTimeout(t *testing.T) {
	t.Parallel()
	const size, timeout = 40 << 20, 4 * time.Second
	w := newWorld(t, Config{WriteTimeout: timeout}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(size))
		_, _ = io.CopyN(w, zeros{}, size)
	})
	c := w.dial("192.0.2.1", get("/"))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	begin, got, pause := time.Now(), int64(0), time.NewTicker(10*time.Millisecond)
	defer pause.Stop()
	for err == nil { // all of it within 2.5 timeouts, however fast the machine is
		<-pause.C
		var n int64
		n, err = io.CopyN(io.Discard, resp.Body, max(1<<10, size*int64(time.Since(begin))/int64(5*timeout/2)-got))
		got += n
	}
	if err != io.EOF || got != size {
		t.Fatalf("the client read %d of %d bytes in %s: %v", got, size, time.Since(begin), err)
	}
}

func TestAClientThatDoesNotReadIsCutOffAndTheLogSaysSo(t *testing.T) {
	t.Parallel()
	returned := make(chan error, 1)
	w := newWorld(t, Config{WriteTimeout: 50 * time.Millisecond}, func(w http.ResponseWriter, _ *http.Request) {
		_, err := io.CopyN(w, zeros{}, 1<<30)
		returned <- err
	})
	w.dial("192.0.2.1", get("/"))
	select {
	case err := <-returned:
		if err == nil {
			t.Fatal("a gigabyte was written to a client that reads nothing")
		}
	case <-time.After(patience):
		t.Fatal("the handler still writes")
	}
	await(t, "the connection is off the books", func() bool { return w.Stats().Open == 0 })
	if got := w.Stats().Slow; got != 1 {
		t.Errorf("%d connections were counted as slow, want 1", got)
	}
	w.stop()
	if text := w.log.String(); !strings.Contains(text, "slow=1") {
		t.Errorf("the log has %q", text)
	}
}

func TestAFullServerGivesThePlaceOfAWaitingConnectionOfTheGreediestAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{Connections: 32, PerAddress: 32}, hello)
	honest := w.dial("192.0.2.1", get("/"))
	status(t, honest)
	var greedy []net.Conn
	for range 3 * 32 {
		greedy = append(greedy, w.dial("192.0.2.66", "GET / HT"))
	}
	await(t, "places are taken away", func() bool { return w.Stats().Evicted >= 2*32 })
	closed(t, greedy[0])
	open(t, honest, get("/")) // it has waited longer than all others
	if code, _ := status(t, w.dial("192.0.2.2", get("/"))); code != http.StatusOK {
		t.Errorf("a new client was answered %d", code)
	}
	if got := w.Stats(); got.Open > got.Limit || got.Refused != 0 {
		t.Errorf("the server counts %+v", got)
	}
}

func TestASignedInClientKeepsItsPlaceBeforeOthersOfItsAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{Connections: 32}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			SignedIn(r.Context(), r.URL.Path == "/operator")
		}
		hello(w, r)
	})
	const proxy = "127.0.0.1"
	viewer := w.dial(proxy, get("/viewer"))
	status(t, viewer)
	operator := w.dial(proxy, get("/operator"))
	status(t, operator)
	for range 64 {
		w.dial(proxy, "")
	}
	await(t, "places are taken away", func() bool { return w.Stats().Evicted >= 32 })
	open(t, viewer, get("/viewer"))
	open(t, operator, get("/operator"))
}

func TestAnAddressThatIsNotSignedInKeepsABoundedNumberOfConnectionsWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{Connections: 200, PerAddress: 3}, hello)
	var conns []net.Conn
	for range 3 {
		conns = append(conns, w.dial("2001:db8::1", ""))
	}
	await(t, "they have waited for a while", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		n := 0
		for c := range w.conns {
			if c.stalled(time.Now()) {
				n++
			}
		}
		return n == 3
	})
	w.dial("2001:db8::2", "") // another address of the same network
	closed(t, conns[0])
	open(t, conns[1], get("/"))
	for range 20 {
		w.dial("127.0.0.1", "")
	}
	await(t, "all are let in", func() bool { return w.Stats().Open == 23 })
	if got := w.Stats(); got.Evicted != 1 || got.Refused != 0 {
		t.Errorf("the server counts %+v", got)
	}
}

func TestWhenAllConnectionsAreAtWorkAReserveAnswersShortRequestsAndItsLastPlacesOnlyProbes(t *testing.T) {
	t.Parallel()
	free, waits := make(chan struct{}), atomic.Int64{}
	w := newWorld(t, Config{Connections: 32}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("wait") == "60s" || r.URL.Path == "/slow" {
			waits.Add(1)
			<-free
		}
		fmt.Fprint(w, r.URL.Query().Get("wait"))
	})
	defer close(free)
	occupy := func(n int, path string) {
		for range n { // one after the other: a full server gives the place of one that has not begun to the next
			want := waits.Load() + 1
			w.dial("192.0.2.66", get(path))
			await(t, "the connection is at work", func() bool { return waits.Load() == want })
		}
	}
	occupy(w.bounds.usual, "/?wait=60s")
	if code, waited := status(t, w.dial("192.0.2.66", get("/?wait=60s"))); code != http.StatusOK || waited != "1s" {
		t.Errorf("a long poll in the reserve was answered %d after a wait of %q", code, waited)
	}
	if code, _ := status(t, w.dial("192.0.2.1", get("/"))); code != http.StatusOK {
		t.Errorf("a short request was answered %d", code)
	}
	await(t, "the reserve is empty again", func() bool { return w.Stats().Open == w.bounds.usual })
	occupy(w.bounds.brief-w.bounds.usual, "/slow")
	if code, _ := status(t, w.dial("192.0.2.1", get("/"))); code != http.StatusServiceUnavailable {
		t.Errorf("a request in a place for probes was answered %d", code)
	}
	if code, _ := status(t, w.dial("192.0.2.1", get("/healthz"))); code != http.StatusOK {
		t.Errorf("a probe was answered %d", code)
	}
}

func TestAnswersThatAreNotReadHoldABoundedShareOfMemory(t *testing.T) {
	t.Parallel()
	var now, most atomic.Int64
	w := newWorld(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
		if err := Hold(r); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		n := now.Add(1)
		defer now.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		_, _ = w.Write(make([]byte, 8<<20))
	})
	for range 60 {
		w.dial("127.0.0.1", get("/")+get("/")+get("/"))
	}
	code, body := status(t, w.dial("127.0.0.1", get("/")))
	for code == http.StatusServiceUnavailable { // others were before it in line
		code, body = status(t, w.dial("127.0.0.1", get("/")))
	}
	if len(body) != 8<<20 {
		t.Errorf("a client that reads got %d bytes", len(body))
	}
	// An answer whose connection was just closed is still on its way out.
	if got := most.Load(); got > 2*maxAnswers {
		t.Errorf("%d answers were in memory at once, want %d", got, maxAnswers)
	}
}

func TestConfigRefusesWhatTheProcessCannotOpen(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{{Connections: -1}, {PerAddress: -1}, {Connections: 1 << 40}} {
		if _, err := New(http.HandlerFunc(hello), &cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
	s, err := New(http.HandlerFunc(hello), nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.bounds.usual >= s.bounds.brief || s.bounds.brief >= s.bounds.all || uint64(s.bounds.all) > fileLimit() {
		t.Errorf("the bounds are %+v", s.bounds)
	}
}
