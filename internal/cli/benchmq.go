package cli

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"evalq/internal/bench"
)

func (p *program) benchMQ() *cobra.Command {
	var cfg bench.MessagesConfig
	var seconds float64
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "mq",
		Short: "Measure how many messages a second package mq publishes and the bridge takes in",
		Long: "Starts a redis-server of its own and measures messages a second: those that RedisQueue stores in Redis or in\n" +
			"a ledger, and those that the bridge takes from a channel into a ledger, beside Redis's PUBLISH. Everything\n" +
			"takes turns, --rounds times. It removes what it made.",
		Example: "  evalq bench mq\n  evalq bench mq --seconds 0.5 --rounds 3 --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.Length = time.Duration(seconds * float64(time.Second))
			if seconds <= 0 || cfg.Rounds <= 0 || len(cfg.Callers) == 0 {
				return usagef("--seconds and --rounds: must be above zero; --callers: name at least one")
			}
			if err := cfg.Check(); err != nil {
				return &usageError{err}
			}
			cfg.Report = func(doing string) { fmt.Fprintln(p.errOut, doing) }
			rows, err := bench.Messages(cmd.Context(), &cfg)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(p.out, rows)
			}
			p.printMessages(rows)
			return nil
		},
	}
	f := cmd.Flags()
	f.Float64Var(&seconds, "seconds", 2, "how long one measurement takes")
	f.IntVar(&cfg.Rounds, "rounds", 5, "how often each is measured")
	f.IntSliceVar(&cfg.Callers, "callers", []int{1, 8, 64}, "numbers of callers; each calls again when it has its answer")
	f.StringVar(&cfg.Dir, "dir", "", "folder on the disk to measure, where the databases are made and removed (default the system's for temporary files)")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (p *program) printMessages(of []bench.MessagesRow) {
	var rows [][]string
	for _, row := range of {
		rows = append(rows, []string{
			strconv.Itoa(row.Callers), row.Name, whole(row.Rate.Median), whole(row.Rate.Min) + " to " + whole(row.Rate.Max),
			millis(row.P50), millis(row.P99), times(row.ToPublish),
		})
	}
	table(p.out, []string{"CALLERS", "WHO", "MESSAGES/S", "RANGE", "P50 MS", "P99 MS", "TO PUBLISH"}, rows)
}
