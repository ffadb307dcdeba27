package cli

import (
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"evalq/internal/app"
	"evalq/internal/config"
)

func (p *program) demo() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start a server, evaluate the sample interviews, and show the results",
		Long: "Needs nothing but this program. It loads sample interviews, submits both kinds of evaluation for each,\n" +
			"prints the scores and the address of the dashboard, and keeps serving until Ctrl-C.",
		Example: "  evalq demo\n  evalq demo --listen 127.0.0.1:0 --data-dir ./demo-data",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := p.server(cmd)
			if err != nil {
				return err
			}
			p.detach(cfg)
			return app.Demo(cmd.Context(), *cfg, p.out, func(w io.Writer) *slog.Logger { return logger(w, cfg) })
		},
	}
	config.AddFlags(cmd.Flags())
	return cmd
}
