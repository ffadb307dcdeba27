// Package cli is the command line: one file a verb. What talks to a server does
// so over HTTP through package client; serve, demo, restore and bench run here.
package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"evalq/client"
	"evalq/internal/config"
	"evalq/internal/logwriter"
)

// Main runs the program and returns its exit code. It reads the environment
// and the .env file of the working directory. When ctx ends, it stops what it
// does in good order and returns.
func Main(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	p := &program{in: in, out: out, errOut: errOut, environ: os.Environ(), dotenv: config.DefaultDotenv}
	return p.run(ctx, args)
}

// program is what the verbs share.
type program struct {
	in          io.Reader
	out, errOut io.Writer
	environ     []string
	dotenv      string
	began       bool // a verb has been found and its arguments are in order
	detached    []*logwriter.Writer
}

func (p *program) run(ctx context.Context, args []string) int {
	root := p.root()
	root.SetArgs(args)
	root.SetIn(p.in)
	root.SetOut(p.out)
	root.SetErr(p.errOut)
	defer p.flush()
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !p.began { // what cobra itself refuses
		err = &usageError{fmt.Errorf("%w\n`%s --help` says how it is used", err, cmd.CommandPath())}
	}
	return p.end(err)
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "evalq",
		Short: "A durable queue for the evaluation of interviews",
		Long: "evalq queues evaluations of interviews, evaluates them, and keeps every result.\n\n" +
			"Settings come from flags, then the environment, then .env. Exit codes:\n\n" + exitHelp(),
		Example: "  evalq demo                      # see it work, with sample interviews\n" +
			"  evalq serve                     # run the server\n" +
			"  evalq import interviews.csv --submit",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		PersistentPreRun: func(*cobra.Command, []string) {
			p.began = true
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(
		p.demo(), p.serve(),
		p.submit(), p.get(), p.list(), p.retry(), p.cancel(), p.imports(),
		p.backfill(), p.export(), p.backup(), p.restore(), p.purge(), p.erase(), p.quarantine(),
		p.bench(), p.chaos(), p.doctor(), p.version(),
	)
	return root
}

// connection is what every verb that talks to a server has.
type connection struct {
	json    bool
	timeout time.Duration
}

func (c *connection) flags(cmd *cobra.Command) {
	c.reach(cmd)
	cmd.Flags().BoolVar(&c.json, "json", false, "print JSON")
}

// reach is flags for a verb whose output has one form.
func (c *connection) reach(cmd *cobra.Command) {
	config.AddClientFlags(cmd.Flags())
	cmd.Flags().DurationVar(&c.timeout, "timeout", 10*time.Second, "how long to try to reach the server, reading verbs only while something listens; does not bound --wait")
}

// open reads where the server is. It does not connect yet.
func (p *program) open(cmd *cobra.Command, c *connection) (*client.Client, error) {
	if c.timeout <= 0 {
		return nil, usagef("--timeout: must be above zero")
	}
	cfg, err := config.LoadClient(p.environ, cmd.Flags(), p.dotenv)
	if err != nil {
		return nil, &usageError{err}
	}
	notice := &waiting{tell: func(cause string) { p.complain("%s; still trying", cause) }}
	return client.Open(cmd.Context(), cfg.URL, &client.Config{
		Token: cfg.Token, Timeout: c.timeout, FailFast: true, Logger: slog.New(notice),
	})
}

// complain tells of one thing out of many that went wrong.
func (p *program) complain(format string, args ...any) {
	fmt.Fprintf(p.errOut, "evalq: %s\n", printable(fmt.Sprintf(format, args...)))
}
