package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"evalq/internal/app"
	"evalq/internal/config"
	"evalq/internal/doctor"
)

// errWarned is the end of an examination that found warnings and nothing worse.
var errWarned = errors.New("warnings")

// diagnosis is what doctor prints as JSON.
type diagnosis struct {
	Level    doctor.Level     `json:"level"` // of the worst finding
	Failures int              `json:"failures"`
	Warnings int              `json:"warnings"`
	Findings []doctor.Finding `json:"findings"`
}

func (p *program) doctor() *cobra.Command {
	var deep, quiet, asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look whether Redis, ledger and queues are as they should be, and say what to do",
		Long: "Takes the settings of `evalq serve` and looks at Redis and the ledger itself, whether a server runs or not. It\n" +
			"changes nothing, but for one commit that shows that the ledger can be written. A SQLite ledger that a server has\n" +
			"open is only read, and the server at --listen is asked for the rest. It ends with 1 when something fails, with 8\n" +
			"when there are warnings only.",
		Example: "  evalq doctor --data-dir ./data\n" +
			"  evalq doctor --redis-url redis://redis.example:6379/0 --deep\n" +
			"  evalq doctor --quiet || echo 'see to it'",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, log, err := p.server(cmd)
			if err != nil {
				return err
			}
			found := app.Doctor(cmd.Context(), *cfg, deep, log)
			if quiet {
				found = worthTelling(found)
			}
			return p.tell(found, asJSON)
		},
	}
	config.AddFlags(cmd.Flags())
	cmd.Flags().BoolVar(&deep, "deep", false, "make the checks that take long too: every page of a SQLite file, five seconds of a relay")
	cmd.Flags().BoolVar(&quiet, "quiet", false, "show warnings and failures only")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func worthTelling(found []doctor.Finding) []doctor.Finding {
	out := []doctor.Finding{}
	for _, f := range found {
		if f.Level.AtLeast(doctor.Warning) {
			out = append(out, f)
		}
	}
	return out
}

// tell prints what was found and answers the error that gives the exit code.
func (p *program) tell(found []doctor.Finding, asJSON bool) error {
	d := diagnosis{doctor.Worst(found), doctor.Count(found, doctor.Failure), doctor.Count(found, doctor.Warning), found}
	if asJSON {
		if err := printJSON(p.out, d); err != nil {
			return err
		}
	} else {
		p.printFindings(found)
	}
	switch d.Level {
	case doctor.Failure:
		return &saidError{fmt.Errorf("doctor: %s", doctor.Summary(found))}
	case doctor.Warning:
		return &saidError{errWarned}
	}
	return nil
}

// printFindings shows under each finding what to do.
func (p *program) printFindings(found []doctor.Finding) {
	var rows [][]string
	for _, f := range found {
		rows = append(rows, []string{string(f.Level), f.Check, f.What})
		if f.Do != "" {
			rows = append(rows, []string{"", "", "-> " + f.Do})
		}
	}
	if len(rows) > 0 {
		table(p.out, []string{"LEVEL", "CHECK", "FOUND"}, rows)
	}
	fmt.Fprintln(p.out, doctor.Summary(found))
}
