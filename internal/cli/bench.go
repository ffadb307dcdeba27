package cli

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"evalq/internal/bench"
)

func (p *program) bench() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(p.benchAccept(), p.benchJudge(), p.benchMQ())
	return cmd
}

func (p *program) benchJudge() *cobra.Command {
	var file string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "judge --csv FILE",
		Short: "Measure the offline judge against human grades",
		Long: "Evaluates each answer of the file and compares with its grades: Pearson's r, quadratic weighted kappa (QWK)\n" +
			"and root mean square error (RMSE). It needs no server.",
		Example: "  evalq bench judge --csv graded.csv --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if file == "" {
				return usagef("--csv: name the file with graded answers; - is standard input")
			}
			f, err := p.openFile(file)
			if err != nil {
				return err
			}
			defer f.Close()
			result, err := bench.JudgeCSV(f)
			if err != nil {
				return &usageError{fmt.Errorf("%s: %w", file, err)}
			}
			if asJSON {
				return printJSON(p.out, result)
			}
			p.printJudge(result)
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "csv", "", "file with graded answers")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (p *program) printJudge(r bench.JudgeResult) {
	figure := func(f *float64) string {
		if f == nil {
			return "-"
		}
		return strconv.FormatFloat(*f, 'f', 3, 64)
	}
	table(p.out, []string{"JUDGE", "ROWS", "ASSESSED", "UNASSESSABLE", "R", "QWK", "RMSE"}, [][]string{{
		r.Judge, strconv.Itoa(r.Rows), strconv.Itoa(r.N), strconv.Itoa(r.Unassessable), figure(r.R), figure(r.QWK), figure(&r.RMSE),
	}})
}
