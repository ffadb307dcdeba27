package logwriter

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func notice(n int64) []byte { return fmt.Appendf(nil, "dropped %d\n", n) }

// closeWithin fails the test when a Writer does not get rid of what it has.
func closeWithin(t *testing.T, w *Writer) {
	t.Helper()
	if !w.Close(60 * time.Second) {
		t.Fatal("not everything was written in a minute")
	}
}

func TestAReaderThatStopsHoldsNoWriterUpAndIsToldHowMuchItMissed(t *testing.T) {
	t.Parallel()
	r, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w := New(out, &Config{Buffer: 64 << 10, Notice: notice})
	line := strings.Repeat("x", 99) + "\n"
	const lines = 20_000 // 2 MB: more than the pipe and the buffer hold
	for range lines {
		if n, err := io.WriteString(w, line); n != len(line) || err != nil {
			t.Fatalf("a write gave %d, %v", n, err)
		}
	}
	if w.Dropped() == 0 {
		t.Fatal("nothing was dropped although nothing was read")
	}
	if w.Close(time.Millisecond) {
		t.Error("it is closed as if all were written")
	}
	read := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(r)
		read <- string(all)
	}()
	closeWithin(t, w)
	out.Close()
	text := <-read
	r.Close()
	if got := int64(strings.Count(text, line)) + w.Dropped(); got != lines {
		t.Errorf("%d lines were written or counted, want %d", got, lines)
	}
	told := int64(0) // in more than one line, when the reader was slow before it stopped
	for line := range strings.Lines(text) {
		var n int64
		if _, err := fmt.Sscanf(line, "dropped %d\n", &n); err == nil {
			told += n
		}
	}
	if told != w.Dropped() {
		t.Errorf("it says that %d lines are missing, and %d are", told, w.Dropped())
	}
}

// moody is a place that refuses for a while, and may take a part first.
type moody struct {
	mu   sync.Mutex
	text bytes.Buffer
	part int
	err  error
}

func (m *moody) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		n := min(m.part, len(p))
		m.text.Write(p[:n])
		m.part -= n
		return n, m.err
	}
	return m.text.Write(p)
}

func (m *moody) set(part int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.part, m.err = part, err
}

// quiet waits until nothing is left to write.
func quiet(t *testing.T, w *Writer) {
	t.Helper()
	deadline := time.After(60 * time.Second)
	for {
		w.mu.Lock()
		idle := w.idle
		w.mu.Unlock()
		if idle == nil {
			return
		}
		select {
		case <-idle:
		case <-deadline:
			t.Fatal("it writes for over a minute")
		}
	}
}

func TestAFullDiskOrAClosedPipeCostsLinesAndTheNextOneStandsAlone(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{syscall.ENOSPC, syscall.EPIPE, syscall.EIO, io.ErrShortWrite, errors.New("unknown")} {
		out := &moody{}
		w := New(out, &Config{Notice: notice})
		write := func(line string) {
			io.WriteString(w, line)
			quiet(t, w)
		}
		write("one\n")
		out.set(3, cause)
		write("two, which is cut off\n")
		write("three\n")
		out.set(0, nil)
		write("four\n")
		write("five\n")
		closeWithin(t, w)
		if got, want := out.text.String(), "one\ntwo\ndropped 2\nfour\nfive\n"; got != want || w.Dropped() != 2 {
			t.Errorf("%v: it wrote %q and counts %d, want %q and 2", cause, got, w.Dropped(), want)
		}
	}
}

func TestATerminalThatIsNotReadyIsTriedAgain(t *testing.T) {
	t.Parallel()
	out := &moody{}
	out.set(2, syscall.EAGAIN)
	w := New(out, &Config{Notice: notice})
	io.WriteString(w, "line\n")
	out.set(0, nil)
	closeWithin(t, w)
	if out.text.String() != "line\n" || w.Dropped() != 0 {
		t.Errorf("it wrote %q and counts %d dropped", out.text.String(), w.Dropped())
	}
}

func TestALineLongerThanTheBufferIsWrittenWhenNothingElseWaits(t *testing.T) {
	t.Parallel()
	out := &moody{}
	w := New(out, &Config{Buffer: 10})
	long := strings.Repeat("x", 1000) + "\n"
	io.WriteString(w, long)
	closeWithin(t, w)
	io.WriteString(w, "late\n")
	if out.text.String() != long || w.Dropped() != 1 {
		t.Errorf("it wrote %d bytes and counts %d dropped, want %d and the one after Close", out.text.Len(), w.Dropped(), len(long))
	}
}
