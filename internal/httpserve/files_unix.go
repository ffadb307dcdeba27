//go:build unix

package httpserve

import "syscall"

// fileLimit is how many files this process may have open.
func fileLimit() uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 2 * defaultConnections
	}
	return uint64(limit.Cur)
}
