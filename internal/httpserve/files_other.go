//go:build !unix

package httpserve

// fileLimit is more than is used: here a process has no such limit.
func fileLimit() uint64 { return 2 * defaultConnections }
