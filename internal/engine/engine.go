// Package engine provides the Redis-speaking engines that evalq brings along,
// for machines on which nobody runs a Redis for it.
//
// [Embedded] lives in this process and keeps nothing on disk. [Managed] runs
// redis-server or valkey-server as a child process with an append-only file.
// A Redis that somebody else runs needs no engine: connect to it.
//
// An engine carries work to the workers and may lose everything it holds; what
// was accepted is in the ledger. So the engines differ in speed and in how much
// work is delivered again after a crash, not in whether a job survives.
package engine
