package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	restartAfter = 300 * time.Millisecond // of a process that ended by itself
	startFor     = 5 * time.Second        // it may end with the reason why it cannot start
	upLimit      = 60 * time.Second
	stopLimit    = 90 * time.Second
)

// process is a child that is started again whenever it ends, as a supervisor
// would do, until it is stopped.
type process struct {
	name    string
	program string
	args    []string
	env     []string
	folder  string // its log is in it
	mark    string // a line that begins so says that it is up
	line    func(string)

	mu      sync.Mutex
	now     *life
	pause   time.Duration // before the next start
	own     []string      // how it ended when nobody had killed it, after it was up
	stopped bool
	stop    chan struct{}
	done    chan struct{} // closed when it will not start again
	answer  chan string   // to words
}

// life is one process of a child.
type life struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	up    chan struct{} // closed when it said so
	gone  chan struct{} // closed when it has ended
	ended bool          // somebody ended it; guarded by process.mu
}

func (p *process) start() error {
	log, err := os.OpenFile(filepath.Join(p.folder, p.name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	p.stop, p.done, p.answer = make(chan struct{}), make(chan struct{}), make(chan string, 1)
	go func() {
		defer close(p.done)
		defer log.Close()
		p.supervise(log)
	}()
	return nil
}

func (p *process) supervise(log io.Writer) {
	for {
		p.mu.Lock()
		p.pause = restartAfter
		p.mu.Unlock()
		if err := p.live(log); err != nil {
			fmt.Fprintf(log, "--- it did not start: %v\n", err)
		}
		p.mu.Lock()
		pause := p.pause
		p.mu.Unlock()
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-p.stop:
			t.Stop()
			return
		}
		select {
		case <-p.stop:
			return
		default:
		}
	}
}

// live runs the process once and returns when it has ended.
func (p *process) live(log io.Writer) error {
	l := &life{cmd: exec.Command(p.program, p.args...), up: make(chan struct{}), gone: make(chan struct{})}
	l.cmd.Dir, l.cmd.Env, l.cmd.SysProcAttr = p.folder, p.env, apart()
	var err error
	if l.stdin, err = l.cmd.StdinPipe(); err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	l.cmd.Stdout, l.cmd.Stderr = w, w
	err = l.cmd.Start()
	_ = w.Close()
	if err != nil {
		return err
	}
	fmt.Fprintf(log, "--- %s process %d\n", time.Now().UTC().Format("15:04:05.000"), l.cmd.Process.Pid)
	p.mu.Lock()
	p.now = l
	if p.stopped { // meanwhile
		l.ended = true
		_ = l.cmd.Process.Kill()
	}
	p.mu.Unlock()
	began := time.Now()
	up := p.read(r, l, log)
	werr := l.cmd.Wait()
	p.mu.Lock()
	if up && !l.ended && time.Since(began) > startFor {
		p.own = append(p.own, fmt.Sprintf("%s ended by itself: %v", p.name, werr))
	}
	p.now = nil
	p.mu.Unlock()
	fmt.Fprintf(log, "--- %s it ended: %v\n", time.Now().UTC().Format("15:04:05.000"), l.cmd.ProcessState)
	close(l.gone)
	return nil
}

// read copies what the process prints into the log, and answers whether it came
// up.
func (p *process) read(r io.Reader, l *life, log io.Writer) (up bool) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		text := lines.Text()
		fmt.Fprintln(log, text)
		if p.line != nil {
			p.line(text)
		}
		if !up && strings.HasPrefix(text, p.mark) {
			up = true
			close(l.up)
		}
		if strings.HasPrefix(text, "chaos ") {
			select {
			case p.answer <- strings.TrimPrefix(text, "chaos "):
			default:
			}
		}
	}
	return up
}

func (p *process) life() *life {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

// pid is 0 while it does not run.
func (p *process) pid() int {
	if l := p.life(); l != nil {
		return l.cmd.Process.Pid
	}
	return 0
}

// kill ends it at once, and has it start again after the pause.
func (p *process) kill(pause time.Duration) error {
	p.mu.Lock()
	l := p.now
	if l == nil {
		p.mu.Unlock()
		return errors.New("it does not run")
	}
	l.ended, p.pause = true, pause
	err := l.cmd.Process.Kill()
	p.mu.Unlock()
	<-l.gone
	return err
}

// signal sends one to the process that runs now.
func (p *process) signal(s os.Signal) error {
	l := p.life()
	if l == nil {
		return errors.New("it does not run")
	}
	return l.cmd.Process.Signal(s)
}

// await returns when it is up.
func (p *process) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, upLimit)
	defer cancel()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		if l := p.life(); l != nil {
			select {
			case <-l.up:
				return nil
			default:
			}
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("%s did not come up: %w; see %s", p.name, context.Cause(ctx), filepath.Join(p.folder, p.name+".log"))
		}
	}
}

// say gives the process a word and waits until it is carried out.
func (p *process) say(ctx context.Context, word string) error {
	l := p.life()
	if l == nil {
		return errors.New("it does not run")
	}
	select {
	case <-p.answer:
	default:
	}
	if _, err := fmt.Fprintln(l.stdin, word); err != nil {
		return err
	}
	t := time.NewTimer(20 * time.Second)
	defer t.Stop()
	select {
	case got := <-p.answer:
		if got != word {
			return errors.New(got)
		}
		return nil
	case <-l.gone:
		return errors.New("it ended")
	case <-t.C:
		return fmt.Errorf("it did not answer to %q", word)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// end stops it in order and for good. One that does not stop in time, or with
// another code than 0, is an error.
func (p *process) end() error {
	if p.done == nil {
		return nil
	}
	p.mu.Lock()
	l := p.now
	if !p.stopped {
		p.stopped = true
		close(p.stop)
	}
	if l != nil {
		l.ended = true
		_ = l.cmd.Process.Signal(syscall.SIGTERM)
	}
	p.mu.Unlock()
	t := time.NewTimer(stopLimit)
	defer t.Stop()
	select {
	case <-p.done:
	case <-t.C:
		if l != nil {
			_ = l.cmd.Process.Kill()
		}
		<-p.done
		return fmt.Errorf("%s did not stop within %s", p.name, stopLimit)
	}
	if l != nil && l.cmd.ProcessState.ExitCode() != 0 {
		return fmt.Errorf("%s stopped with %s", p.name, l.cmd.ProcessState)
	}
	return nil
}

// drop ends it at once and for good.
func (p *process) drop() {
	if p.done == nil {
		return
	}
	p.mu.Lock()
	if !p.stopped {
		p.stopped = true
		close(p.stop)
	}
	if p.now != nil {
		p.now.ended = true
		_ = p.now.cmd.Process.Kill()
	}
	p.mu.Unlock()
	<-p.done
}
