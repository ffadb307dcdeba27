package cli

import (
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"evalq/internal/app"
	"evalq/internal/config"
)

func (p *program) serve() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server: API, relay, worker and dashboard in one process",
		Long: "Runs until it is told to stop (Ctrl-C, SIGTERM or SIGHUP): then it takes no more work, lets running evaluations\n" +
			"finish, and ends with 0. What it does not finish goes on at the next start. A second signal ends it at once.\n" +
			"It ends with 2 when a setting has a bad value, and with 1 when a place that it needs is wrong or not to be had:\n" +
			"--listen, --data-dir, --ledger-url, --redis-url, --bridge-redis-url.",
		Example: "  evalq serve --listen 127.0.0.1:8080 --data-dir ./data\n" +
			"  evalq serve --redis-url redis://:password@redis.example:6379/0\n" +
			"  evalq serve --bridge-redis-url redis://platform.example:6379",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := p.server(cmd)
			if err != nil {
				return err
			}
			log := p.detach(cfg)
			return app.Serve(cmd.Context(), *cfg, p.out, log)
		},
	}
	config.AddFlags(cmd.Flags())
	return cmd
}

// server reads the settings of a server. A place that cannot be used is a
// failure to start, like an address that is taken; anything else that is wrong
// with them is bad input.
func (p *program) server(cmd *cobra.Command) (*config.Config, *slog.Logger, error) {
	cfg, err := config.Load(p.environ, cmd.Flags(), p.dotenv)
	if err != nil && !config.IsPlace(err) {
		err = &usageError{err}
	}
	if err != nil {
		return nil, nil, err
	}
	return cfg, logger(p.errOut, cfg), nil
}

func logger(w io.Writer, cfg *config.Config) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.LogLevel, ReplaceAttr: readable}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// readable writes a duration as 1.5s in JSON too, where it would be a number of
// nanoseconds.
func readable(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}
