package cli

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"evalq/internal/bench"
)

func (p *program) benchAccept() *cobra.Command {
	var cfg bench.AcceptConfig
	var seconds float64
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "accept",
		Short: "Measure how many evaluations a second are accepted",
		Long: "Starts database servers of its own, and measures evaluations accepted a second, each on disk before its\n" +
			"answer: by the ledger, over HTTP, and by River's Insert on the same PostgreSQL. Everything takes turns,\n" +
			"--rounds times. It removes what it made.",
		Example: "  evalq bench accept\n  evalq bench accept --ledgers sqlite --seconds 0.5 --rounds 3 --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.Length = time.Duration(seconds * float64(time.Second))
			if seconds <= 0 || cfg.Rounds <= 0 || len(cfg.Callers) == 0 || len(cfg.Ledgers) == 0 {
				return usagef("--seconds and --rounds: must be above zero; --callers and --ledgers: name at least one")
			}
			if err := cfg.Check(); err != nil {
				return &usageError{err}
			}
			if !cmd.Flags().Changed("peers") {
				cfg.Peers = peersHere()
			}
			cfg.Report = func(doing string) { fmt.Fprintln(p.errOut, doing) }
			result, err := bench.Accept(cmd.Context(), &cfg)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(p.out, result)
			}
			p.printAccept(result)
			return nil
		},
	}
	f := cmd.Flags()
	f.Float64Var(&seconds, "seconds", 2, "how long one measurement takes")
	f.IntVar(&cfg.Rounds, "rounds", 5, "how often each is measured")
	f.IntSliceVar(&cfg.Callers, "callers", []int{1, 8, 64}, "numbers of callers; each calls again when it has its answer")
	f.StringSliceVar(&cfg.Ledgers, "ledgers", bench.AcceptLedgers(), "databases to measure")
	f.StringVar(&cfg.Dir, "dir", "", "folder on the disk to measure, where the databases are made and removed (default the system's for temporary files)")
	f.StringVar(&cfg.Peers, "peers", "", "folder with the programs of other projects, built with go build; empty leaves them out (default ./bench/peers, where go.mod is)")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// peersHere finds the programs of other projects in a checkout of evalq.
func peersHere() string {
	dir := filepath.Join("bench", "peers")
	for _, needed := range []string{"go.mod", filepath.Join(dir, "go.mod")} {
		if _, err := os.Stat(needed); err != nil {
			return ""
		}
	}
	return dir
}

func (p *program) printAccept(r bench.AcceptResult) {
	var rows [][]string
	for _, row := range r.Rows {
		rows = append(rows, []string{
			strconv.Itoa(row.Callers), row.Name, whole(row.Rate.Median), whole(row.Rate.Min) + " to " + whole(row.Rate.Max),
			millis(row.P50), millis(row.P99), times(row.ToRiver), times(row.ToSQLite),
		})
	}
	table(p.out, []string{"CALLERS", "WHO", "ACCEPTED/S", "RANGE", "P50 MS", "P99 MS", "TO RIVER", "TO SQLITE"}, rows)
	for _, note := range r.Notes {
		fmt.Fprintln(p.out, note)
	}
}

func whole(f float64) string { return strconv.FormatFloat(math.Round(f), 'f', 0, 64) }

func millis(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }

// times is a ratio with its range.
func times(s *bench.Spread) string {
	if s == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)", s.Median, s.Min, s.Max)
}
