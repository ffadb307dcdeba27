package cli

import (
	"github.com/spf13/cobra"

	"evalq/client"
)

func (p *program) cancel() *cobra.Command {
	return p.action(&cobra.Command{
		Use:   "cancel ID...",
		Short: "Cancel jobs",
		Long: "Cancels jobs that wait, and asks running ones to stop. A job that has succeeded or is dead is a conflict\n" +
			"(exit code 4). A cancelled job stays so until it is retried or submitted --anew.",
		Example: "  evalq cancel 06azr8a0tmp4g2cqw9kx5e1v --why 'submitted by mistake'",
	}, (*client.Client).Cancel)
}
