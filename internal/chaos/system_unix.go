//go:build unix

package chaos

import (
	"os"
	"os/signal"
	"syscall"
)

// apart keeps a Ctrl-C in the terminal from the children: they are stopped last.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// bear has children that are started from now on take a file that may not grow for
// an error, not for their end.
func bear() { signal.Ignore(syscall.SIGXFSZ) }

var freeze, thaw os.Signal = syscall.SIGSTOP, syscall.SIGCONT
