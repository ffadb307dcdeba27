package cli

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"evalq/internal/app"
	"evalq/internal/config"
)

func (p *program) restore() *cobra.Command {
	var force, asJSON bool
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup in the place of the ledger, while no server runs",
		Long: "Looks through a backup that `evalq backup` has made and puts it into the data folder. No server may use the\n" +
			"folder; a ledger that is there is refused, or with --force kept beside the restored one. FILE stays where it is.\n" +
			"At the next start, what Redis remembers of the jobs submitted since the backup is taken up again.",
		Example: "  evalq restore /backups/evalq-2026-01-31.db --data-dir ./data",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := config.LoadDataDir(p.environ, cmd.Flags(), p.dotenv)
			if err != nil {
				return &usageError{err}
			}
			b, err := app.Restore(cmd.Context(), args[0], dir, force)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, app.ErrUnfitBackup) {
				return &usageError{err}
			}
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(p.out, describe(args[0], b))
			}
			fmt.Fprintln(p.out, describe(args[0], b))
			if b.Kept != "" {
				fmt.Fprintf(p.out, "the ledger that was there is kept as %s\n", b.Kept)
			}
			fmt.Fprintf(p.out, "restored into %s; start the server there again\n", dir)
			return nil
		},
	}
	config.AddDataDirFlag(cmd.Flags())
	cmd.Flags().BoolVar(&force, "force", false, "keep a ledger that is in the folder as evalq.db.before-TIME, beside the restored one")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
