package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"evalq/tasks"
)

type exportFlags struct {
	connection
	unfinished, dead bool
	format, prefix   string
}

// formatWire is lines for redis-cli.
const formatWire = "wire"

func (p *program) export() *cobra.Command {
	f := &exportFlags{}
	cmd := &cobra.Command{
		Use:   "export --unfinished",
		Short: "Write out the jobs that are not finished, to go back to an old consumer",
		Long: "Writes every job of the two built-in kinds that is accepted, queued, running, retrying or held, newest first, as a\n" +
			"line of JSON: kind, user_id, report_id, state, id. With --format wire it writes commands for redis-cli in their place,\n" +
			"which publish the bytes that the original publisher sends.\n\n" +
			"evalq goes on with its jobs. So that nothing is evaluated twice, first keep new ones from coming (stop the bridge and\n" +
			"the programs that submit), let evalq finish what it can, export what is left, cancel each of those jobs with `evalq\n" +
			"cancel` or stop evalq, and only then publish. A message that no consumer listens for is lost.\n\n" +
			"Ids above 9007199254740992 (2^53) cannot be published: an old consumer reads another number. They are listed on\n" +
			"standard error, and the exit code is 1.",
		Example: "  evalq export --unfinished > unfinished.ndjson\n" +
			"  evalq export --unfinished --dead --format wire | redis-cli -h redis",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.runExport(cmd, f) },
	}
	f.reach(cmd)
	cmd.Flags().BoolVar(&f.unfinished, "unfinished", false, "the jobs that are not finished; there is no other export yet, so it has to be given")
	cmd.Flags().BoolVar(&f.dead, "dead", false, "the dead ones too")
	cmd.Flags().StringVar(&f.format, "format", formatJSON, "json, or wire: lines for redis-cli")
	cmd.Flags().StringVar(&f.prefix, "prefix", "interview:messages:", "what stands before the type in the name of a channel, with --format wire")
	return cmd
}

func (f *exportFlags) check() error {
	switch {
	case !f.unfinished:
		return usagef("--unfinished: missing; it says what to export")
	case f.format != formatJSON && f.format != formatWire:
		return usagef("--format: use json or wire")
	case f.prefix == "" || strings.ContainsFunc(f.prefix, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`'"\`, r) }):
		return usagef("--prefix: give a name of visible ASCII characters without quotes and backslashes, such as interview:messages:")
	}
	return nil
}

// lastExact is the largest id up to which each is a float64 of its own. The
// original takes every id through one.
const lastExact = 1 << 53

// errInexact is the end of an export that could not write all.
var errInexact = errors.New("not everything can be published")

func (p *program) runExport(cmd *cobra.Command, f *exportFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	c, err := p.open(cmd, &f.connection)
	if err != nil {
		return err
	}
	defer c.Close()
	out := bufio.NewWriter(p.out)
	inexact := 0
	for _, kind := range tasks.Kinds() {
		// All states, since a job that moves while the pages are read would be missed
		// between two lists of one state each.
		later := map[[2]int64]bool{} // keys of which a later revision was read
		for job, err := range c.All(cmd.Context(), tasks.Filter{Kind: kind, Limit: 500}) {
			if err != nil {
				return errors.Join(err, out.Flush())
			}
			key := [2]int64{job.UserID, job.ReportID}
			if later[key] {
				continue
			}
			if job.Revision > 1 {
				later[key] = true
			}
			if job.State.Finished() && !(f.dead && job.State == tasks.Dead) {
				continue
			}
			if f.format == formatWire && (job.UserID > lastExact || job.ReportID > lastExact) {
				inexact++
				p.complain("%s of user %d, report %d: an id above 2^53 cannot be published", job.Kind, job.UserID, job.ReportID)
				continue
			}
			if err := f.write(out, job); err != nil {
				return err
			}
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if inexact > 0 {
		return fmt.Errorf("%w: %s with an id above 2^53, named above", errInexact, count(inexact, "job"))
	}
	return nil
}

// exported is a job as a line of JSON.
type exported struct {
	Kind     tasks.Kind  `json:"kind"`
	UserID   int64       `json:"user_id"`
	ReportID int64       `json:"report_id"`
	State    tasks.State `json:"state"`
	ID       string      `json:"id"`
}

func (f *exportFlags) write(out *bufio.Writer, job tasks.Job) error {
	if f.format == formatWire {
		_, err := fmt.Fprintf(out, "PUBLISH %s%s '%s'\n", f.prefix, job.Kind, original(job))
		return err
	}
	line, err := json.Marshal(exported{job.Kind, job.UserID, job.ReportID, job.State, job.ID})
	if err != nil {
		return err
	}
	_, err = out.Write(append(line, '\n'))
	return err
}

// original is a message with the bytes of the original publisher: the keys of the
// payload in the order of the alphabet.
func original(job tasks.Job) string {
	return fmt.Sprintf(`{"type":"%s","payload":{"report_id":%d,"user_id":%d}}`, job.Kind, job.ReportID, job.UserID)
}
