package chaos

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"evalq/internal/sandbox"
)

const noLimit = unix.RLIM_INFINITY

// limitFiles bounds the size of files that a server and its children write.
// Children that it starts later inherit that.
func limitFiles(s *sandbox.Server, size uint64) error {
	pid := s.PID()
	if pid == 0 {
		return errors.New("the server does not run")
	}
	// Twice: a child that was just being made had the limit of before.
	for range 2 {
		for _, p := range append([]int{pid}, children(pid)...) {
			err := limitProcess(p, size)
			if errors.Is(err, syscall.EPERM) {
				err = limitAsOwner(p, size)
			}
			if err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("limit the files of process %d: %w", p, err)
			}
		}
	}
	return nil
}

func limitProcess(pid int, size uint64) error {
	var now unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, nil, &now); err != nil {
		return err
	}
	now.Cur = min(size, now.Max)
	return unix.Prlimit(pid, unix.RLIMIT_FSIZE, &now, nil)
}

// limitAsOwner has the process's own user do it: in a container, root may not.
func limitAsOwner(pid int, size uint64) error {
	info, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
	if errors.Is(err, fs.ErrNotExist) {
		return syscall.ESRCH
	}
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return syscall.EPERM
	}
	soft := strconv.FormatUint(size, 10)
	if size == noLimit {
		soft = "unlimited"
	}
	cmd := exec.Command("prlimit", "--pid", strconv.Itoa(pid), "--fsize="+soft+":")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
	out, err := cmd.CombinedOutput()
	if _, serr := os.Stat(fmt.Sprintf("/proc/%d", pid)); err != nil && serr != nil {
		return syscall.ESRCH
	}
	if err != nil {
		return fmt.Errorf("prlimit: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

func children(parent int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is good
	var out []int
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // it ended in the meantime
		}
		// PID (NAME) STATE PARENT ...; the name may have anything in it.
		f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
		if len(f) < 2 || string(f[1]) != strconv.Itoa(parent) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
			out = append(out, pid)
		}
	}
	return out
}
