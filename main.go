// Command evalq is a durable queue for the evaluation of interviews. See
// "evalq --help" and README.md.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"evalq/internal/cli"
)

func main() {
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // by nohup
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	context.AfterFunc(ctx, func() {
		// A terminal that goes away sends SIGHUP more than once.
		signal.Ignore(syscall.SIGHUP)
		// After the first signal, the second has its usual effect: it ends the
		// program at once.
		stop()
	})
	code := cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
