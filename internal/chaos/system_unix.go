//go:build unix

package chaos

import (
	"os"
	"syscall"
)

// apart keeps a Ctrl-C in the terminal from the children: they are stopped last.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

var freeze, thaw os.Signal = syscall.SIGSTOP, syscall.SIGCONT
