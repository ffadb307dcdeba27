package chaos

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo is a server that answers each line with it, and remembers all of them.
type echo struct {
	net.Listener
	mu    sync.Mutex
	lines []string
}

func newEcho(t *testing.T) *echo {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{Listener: l}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { e.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return e
}

func (e *echo) serve(c net.Conn) {
	defer c.Close()
	for s := bufio.NewScanner(c); s.Scan(); {
		e.mu.Lock()
		e.lines = append(e.lines, s.Text())
		e.mu.Unlock()
		if _, err := io.WriteString(c, s.Text()+"\n"); err != nil {
			return
		}
	}
}

func (e *echo) got(line string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, have := range e.lines {
		if have == line {
			return true
		}
	}
	return false
}

// between puts a proxy before a server.
func between(t *testing.T) (*proxy, *echo) {
	t.Helper()
	e := newEcho(t)
	p, err := newProxy(e.Addr().String(), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.close() })
	return p, e
}

type caller struct {
	t    *testing.T
	conn net.Conn
}

func dial(t *testing.T, p *proxy) caller {
	t.Helper()
	c, err := net.Dial("tcp", p.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return caller{t, c}
}

// ask sends a line and reads the answer.
func (c caller) ask(line string, patience time.Duration) (string, error) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, line+"\n"); err != nil {
		return "", err
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	buf := make([]byte, 100)
	n, err := c.conn.Read(buf)
	return strings.TrimSpace(string(buf[:n])), err
}

func (c caller) want(line string) {
	c.t.Helper()
	if got, err := c.ask(line, 10*time.Second); got != line || err != nil {
		c.t.Errorf("asked %q: %q, %v", line, got, err)
	}
}

func TestInGoodWeatherEverythingPasses(t *testing.T) {
	t.Parallel()
	p, _ := between(t)
	c := dial(t, p)
	c.want("one")
	c.want("two")
	p.set(weather{delay: time.Millisecond})
	c.want("three")
}

func TestAReplyThatIsLostWasARequestThatArrived(t *testing.T) {
	t.Parallel()
	p, e := between(t)
	c := dial(t, p)
	p.set(weather{lose: 1, commits: true})
	c.want("SELECT")
	if got, err := c.ask("COMMIT", 10*time.Second); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the reply to COMMIT came: %q, %v", got, err)
	}
	if !e.got("COMMIT") || p.lost.Load() != 1 {
		t.Errorf("the server got COMMIT: %v; %d replies lost", e.got("COMMIT"), p.lost.Load())
	}
	p.set(weather{})
	dial(t, p).want("COMMIT")
}

func TestARefusalCutsWhatIsThereAndWhatComes(t *testing.T) {
	t.Parallel()
	p, _ := between(t)
	c := dial(t, p)
	c.want("one")
	p.set(weather{refuse: true})
	callers := []caller{c}
	if late, err := net.Dial("tcp", p.addr()); err == nil { // else it was cut before that
		t.Cleanup(func() { late.Close() })
		callers = append(callers, caller{t, late})
	}
	for _, c := range callers {
		if got, err := c.ask("two", 10*time.Second); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("it is not cut: %q, %v", got, err)
		}
	}
	p.set(weather{})
	dial(t, p).want("three")
}

func TestSilenceEndsAndDeathDoesNot(t *testing.T) {
	t.Parallel()
	p, _ := between(t)
	c := dial(t, p)
	c.want("one")
	p.set(weather{silent: true})
	if got, err := c.ask("two", 50*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it is not silent: %q, %v", got, err)
	}
	p.set(weather{})
	if got, err := c.ask("", 10*time.Second); !strings.HasPrefix(got, "two") || err != nil {
		t.Errorf("after the silence came %q, %v", got, err)
	}
	p.deaden()
	if got, err := c.ask("three", 50*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it is not dead: %q, %v", got, err)
	}
	dial(t, p).want("four")
}
