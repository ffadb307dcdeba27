//go:build !unix

package chaos

import (
	"os"
	"syscall"
)

func apart() *syscall.SysProcAttr { return nil }

func bear() {}

// No private server starts here, so neither is ever sent.
var freeze, thaw os.Signal = os.Kill, os.Kill
