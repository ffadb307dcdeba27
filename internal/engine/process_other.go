//go:build !unix

package engine

import (
	"errors"
	"os"
	"syscall"
)

var errNotUnix = errors.New("the managed engine needs Linux, macOS or another Unix: use the embedded one")

func ownGroup() *syscall.SysProcAttr { return nil }

func signalTo(int, syscall.Signal) error { return errNotUnix }

func lockDir(string) (*os.File, error) { return nil, errNotUnix }

func isOurs(os.FileInfo) bool { return false }
