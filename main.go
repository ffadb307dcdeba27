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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal, the second has its usual effect: it ends the
	// program at once.
	context.AfterFunc(ctx, stop)
	code := cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
