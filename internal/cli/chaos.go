package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"evalq/internal/app"
	"evalq/internal/chaos"
	"evalq/internal/config"
)

func (p *program) chaos() *cobra.Command {
	var cfg chaos.Config
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "chaos",
		Short: "Break an evalq of its own in every way it promises to survive, and count",
		Long: "Starts a private Redis and ledger, nodes of evalq, and a judge that counts its calls, and submits jobs. Meanwhile\n" +
			"it kills and freezes processes and servers, wipes Redis, cuts, slows and robs connections, and lets the ledger run\n" +
			"full. Then it compares what was acknowledged with what is stored, and what is stored with the judge's own log.\n\n" +
			"It ends with 0 when nothing was lost, no result written twice, no committed call made again, every other call that\n" +
			"may be paid for twice is named in its job's history, and each kind of fault hit running work; else with 1.\n\n" +
			"It needs redis-server, and PostgreSQL or MariaDB for roles in processes of their own. It touches no server that is\n" +
			"there already. The same seed makes the same schedule.",
		Example: "  evalq chaos\n  evalq chaos --short --ledger sqlite\n  evalq chaos --ledger mysql --seed 7 --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.runChaos(cmd, cfg, asJSON)
		},
	}
	f := cmd.Flags()
	f.IntVar(&cfg.Jobs, "jobs", 0, "how many jobs, 100 or more; 0 is 5000, or 600 with --short")
	f.BoolVar(&cfg.Short, "short", false, "each fault once or twice, in about a minute")
	f.StringVar(&cfg.Ledger, "ledger", "", "postgres, mysql, or sqlite, which runs all roles in one process (default the first that is installed)")
	f.Uint64Var(&cfg.Seed, "seed", 0, "repeats the schedule of an earlier run; 0 makes a new one")
	f.BoolVar(&cfg.Keep, "keep", false, "keep data and logs also when all is well")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	cmd.AddCommand(p.chaosNode(), p.chaosJudge())
	return cmd
}

func (p *program) runChaos(cmd *cobra.Command, cfg chaos.Config, asJSON bool) error {
	if cfg.Jobs != 0 && cfg.Jobs < 100 {
		return usagef("--jobs: %d is below 100", cfg.Jobs)
	}
	switch cfg.Ledger {
	case "", chaos.Postgres, chaos.MySQL, chaos.SQLite:
	default:
		return usagef("--ledger: %q is none of postgres, mysql and sqlite", cfg.Ledger)
	}
	cfg.Version = app.Version()
	cfg.Tell = func(format string, args ...any) { fmt.Fprintf(p.errOut, format+"\n", args...) }
	r, err := chaos.Run(cmd.Context(), &cfg)
	if err != nil {
		return err
	}
	if asJSON {
		err = printJSON(p.out, r)
	} else {
		fmt.Fprintln(p.errOut)
		r.Print(p.out)
	}
	if failures := r.Failures(); err == nil && len(failures) > 0 {
		err = errors.New("chaos: " + strings.Join(failures, "; "))
	}
	return err
}

// chaosNode is a child of chaos: evalq serve with the counting judge.
func (p *program) chaosNode() *cobra.Command {
	var judge string
	cmd := &cobra.Command{
		Use: "node", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := p.server(cmd)
			if err != nil {
				return err
			}
			log := p.detach(cfg)
			node := chaos.NewNode(judge)
			go node.Obey(p.in, p.out)
			return app.ServeWith(cmd.Context(), *cfg, app.Extras{
				Judge: node.Judge(), Policies: chaos.Policy, Opened: func(db app.Database) { node.Opened(db) },
			}, p.out, log)
		},
	}
	cmd.Flags().StringVar(&judge, "judge", "", "address of the judge")
	config.AddFlags(cmd.Flags())
	return cmd
}

// chaosJudge is the other child.
func (p *program) chaosJudge() *cobra.Command {
	var log string
	var seed uint64
	cmd := &cobra.Command{
		Use: "judge", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			go chaos.Leash(p.in)
			return chaos.ServeJudge(cmd.Context(), log, seed, p.out)
		},
	}
	cmd.Flags().StringVar(&log, "log", "", "file to write each call to")
	cmd.Flags().Uint64Var(&seed, "seed", 0, "decides how long calls take")
	return cmd
}
