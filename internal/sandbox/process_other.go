//go:build !unix

package sandbox

import (
	"errors"
	"os"
	"syscall"
)

var errNotUnix = errors.New("private servers need Linux, macOS or another Unix")

func attributes(*account) *syscall.SysProcAttr { return nil }

func unprivileged(...string) (*account, error) { return nil, errNotUnix }

func isRoot() bool { return false }

func mayPass(os.FileInfo, *account) bool { return true }

func isOurs(os.FileInfo) bool { return true }

func killGroup(p *os.Process) error { return p.Kill() }

func killFamily(*os.Process, string, string) error { return errNotUnix }
