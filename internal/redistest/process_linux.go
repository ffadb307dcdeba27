package redistest

import "syscall"

// dieWithParent has the kernel end a server whose test binary was killed or
// timed out, and so never came to its cleanup.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
