package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"evalq/client"
	"evalq/internal/app"
)

// copied is a backup as JSON.
type copied struct {
	File   string    `json:"file"`
	Bytes  int64     `json:"bytes"`
	Ledger string    `json:"ledger"`
	Schema int64     `json:"schema"`
	Jobs   int       `json:"jobs"`
	Newest time.Time `json:"newest,omitzero"` // acceptance among the jobs
	Kept   string    `json:"kept,omitempty"`  // where a ledger was put that was in the way
}

func describe(file string, b app.Backup) copied {
	return copied{file, b.Bytes, b.Ledger, b.Schema, b.Jobs, b.Newest, b.Kept}
}

func (c copied) String() string {
	newest := ""
	if !c.Newest.IsZero() {
		newest = ", the newest of " + moment(c.Newest)
	}
	return fmt.Sprintf("%s: ledger %s with %s%s (%d bytes)", c.File, c.Ledger, count(c.Jobs, "job"), newest, c.Bytes)
}

func (p *program) backup() *cobra.Command {
	var conn connection
	var force bool
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the server's ledger into a file, while it runs",
		Long: "Copies a SQLite ledger as it is at one moment, while the server goes on, and looks through the copy before it\n" +
			"gets its name. FILE has personal data in it and is readable by its owner alone. `evalq restore` puts it back.\n" +
			"A ledger in PostgreSQL or MySQL is copied with that server's own tools (exit code 4). Needs an operator's token.",
		Example: "  evalq backup /backups/evalq-$(date +%F).db",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := os.Lstat(args[0]); err == nil && !force {
				return usagef("%s: the file exists; --force replaces it", args[0])
			}
			c, err := p.open(cmd, &conn)
			if err != nil {
				return err
			}
			defer c.Close()
			b, err := backupTo(cmd.Context(), c, args[0], force)
			if err != nil {
				return err
			}
			if conn.json {
				return printJSON(p.out, describe(args[0], b))
			}
			fmt.Fprintln(p.out, describe(args[0], b))
			return nil
		},
	}
	conn.flags(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "replace FILE if it exists")
	return cmd
}

// backupTo leaves at the name either a whole copy or what was there. Until the copy
// is whole it has a name that no other user can foresee and put a link at.
func backupTo(ctx context.Context, c *client.Client, file string, force bool) (b app.Backup, err error) {
	out, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*.partial")
	if err != nil {
		return b, &usageError{err}
	}
	partial := out.Name()
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(partial))
		}
	}()
	_, err = c.Backup(ctx, out)
	if err = errors.Join(err, out.Chmod(0o600), out.Sync(), out.Close()); err != nil {
		return b, err
	}
	if b, err = app.InspectBackup(ctx, partial); err != nil {
		return b, fmt.Errorf("what arrived cannot be used: %w", err)
	}
	if err := rename(partial, file, force); err != nil {
		return b, err
	}
	return b, syncFolder(filepath.Dir(file))
}

// rename gives a file its name. Without replace it keeps what has come to be there
// meanwhile.
func rename(from, to string, replace bool) error {
	if replace {
		return os.Rename(from, to)
	}
	err := os.Link(from, to)
	switch {
	case errors.Is(err, fs.ErrExist):
		return usagef("%s: the file exists; --force replaces it", to)
	case err != nil: // a file system without hard links
		return os.Rename(from, to)
	}
	return os.Remove(from)
}

// syncFolder sees to it that a new name outlives a loss of power.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
