//go:build unix

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// attributes puts a program into a process group of its own, so that a Ctrl-C
// in the terminal reaches only us and it can be stopped last.
func attributes(user *account) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true}
	if user != nil {
		a.Credential = &syscall.Credential{Uid: user.uid, Gid: user.gid}
	}
	return a
}

// unprivileged is the user for a server that refuses to run as root; nil when
// we are not root.
func unprivileged(names ...string) (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range names {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		return &account{name: name, uid: uint32(uid), gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("root may not run it, and there is no user %s", strings.Join(names, " or "))
}

func isRoot() bool { return os.Geteuid() == 0 }

func mayPass(info os.FileInfo, user *account) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	mode := info.Mode().Perm()
	switch {
	case !ok:
		return false
	case stat.Uid == user.uid:
		return mode&0o100 != 0
	case stat.Gid == user.gid:
		return mode&0o010 != 0
	}
	return mode&0o001 != 0
}

func isOurs(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

func killGroup(p *os.Process) error {
	if err := syscall.Kill(-p.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// process is a line of the system's list of processes.
type process struct {
	pid, parent int
	state       byte // T is stopped, Z has ended
}

// killFamily kills a server and its children, which may be in process groups of
// their own, and waits until the children are gone. The server is stopped
// first, so that it makes no more of them and their ids stay theirs. Children
// whose parent died before are known by their program and their folder.
func killFamily(server *os.Process, binary, data string) error {
	m := newMark(binary, data)
	err := server.Signal(syscall.SIGSTOP)
	parent := server.Pid
	if errors.Is(err, os.ErrProcessDone) {
		parent = 0 // its number may be another's by now
	} else if err != nil {
		return err
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(killLimit)
	defer limit.Stop()
	for {
		all, err := processes()
		if err != nil {
			return errors.Join(err, kill(server))
		}
		busy := parent != 0 && !isStopped(all, parent)
		if !busy {
			for _, pid := range family(all, parent, m) {
				busy = true
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
					return errors.Join(err, kill(server))
				}
			}
		}
		if !busy {
			return kill(server)
		}
		select {
		case <-tick.C:
		case <-limit.C:
			return errors.Join(errors.New("its processes are there after they were killed"), kill(server))
		}
	}
}

func kill(p *os.Process) error {
	if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// isStopped is also true of a process that has ended.
func isStopped(all []process, pid int) bool {
	for _, p := range all {
		if p.pid == pid {
			return strings.IndexByte("TtZX", p.state) >= 0
		}
	}
	return true
}

// family lists who lives of the children of parent, their children, and the
// orphans that bear the mark.
func family(all []process, parent int, m mark) []int {
	in := map[int]bool{}
	if parent != 0 {
		in[parent] = true
	}
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if !in[p.pid] && (in[p.parent] || p.state != 'Z' && m.isOn(p.pid)) {
				in[p.pid], grown = true, true
			}
		}
	}
	var out []int
	for _, p := range all {
		if in[p.pid] && p.pid != parent && p.state != 'Z' && p.state != 'X' {
			out = append(out, p.pid)
		}
	}
	return out
}

// mark tells the processes of one server from all others.
type mark struct{ binary, data string }

// newMark resolves links, as /proc does. What cannot be resolved marks nobody.
func newMark(binary, data string) mark {
	binary, _ = filepath.EvalSymlinks(binary)
	data, _ = filepath.EvalSymlinks(data)
	return mark{binary, data}
}

// isOn says whether a process runs the server's program in its data folder. It
// sees that on Linux only; elsewhere an orphan ends by itself a moment later.
func (m mark) isOn(pid int) bool {
	if m.binary == "" || m.data == "" {
		return false
	}
	at := filepath.Join("/proc", strconv.Itoa(pid))
	cwd, err := os.Readlink(filepath.Join(at, "cwd"))
	if err != nil || cwd != m.data {
		return false
	}
	exe, err := os.Readlink(filepath.Join(at, "exe"))
	return err == nil && exe == m.binary
}

// processes lists the processes of this system.
func processes() ([]process, error) {
	if _, err := os.Stat("/proc/self/stat"); err == nil {
		return fromProc()
	}
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=,stat=").Output()
	if err != nil {
		return nil, fmt.Errorf("list the processes: %w", err)
	}
	var all []process
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		if p, ok := parseProcess(f[0], f[1], f[2]); ok {
			all = append(all, p)
		}
	}
	return all, nil
}

func fromProc() ([]process, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var all []process
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // it ended in the meantime
		}
		// PID (NAME) STATE PARENT ...; the name may have anything in it.
		end := strings.LastIndexByte(string(b), ')')
		f := strings.Fields(string(b[end+1:]))
		if len(f) < 2 {
			continue
		}
		if p, ok := parseProcess(filepath.Base(filepath.Dir(name)), f[1], f[0]); ok {
			all = append(all, p)
		}
	}
	return all, nil
}

func parseProcess(pid, parent, state string) (process, bool) {
	id, err := strconv.Atoi(pid)
	if err != nil {
		return process{}, false
	}
	up, err := strconv.Atoi(parent)
	return process{pid: id, parent: up, state: state[0]}, err == nil
}
