package cli

import (
	"errors"
	"fmt"
	"strings"

	"evalq/client"
	"evalq/tasks"
	"evalq/worker"
)

// usageError is a command line that cannot be carried out.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// errNotSucceeded is the end of waiting for a job that ended otherwise.
var errNotSucceeded = errors.New("did not succeed")

const (
	exitOK      = 0
	exitFailure = 1
)

// exits is the one table of exit codes. The first row that matches an error
// gives its code; the hint says what to do about it.
var exits = []struct {
	code    int
	meaning string
	match   func(error) bool
	hint    string
}{
	{2, "usage or bad input", isBadInput, ""},
	{6, "not authorised", is(client.ErrUnauthorized), "give a token: --token-file, EVALQ_TOKEN_FILE or EVALQ_TOKEN"},
	{3, "not found", is(tasks.ErrNotFound), ""},
	{4, "conflict: not possible in the job's state", is(tasks.ErrConflict), ""},
	{5, "server unreachable or unavailable", isAway, "see that a server runs (`evalq serve`), what its /readyz says, and that --url or EVALQ_URL says where it is"},
	{7, "the job that was waited for did not succeed", is(errNotSucceeded), ""},
	{8, "doctor found warnings, and no failure", is(errWarned), ""},
	{70, "half of the worker's slots were stuck; a supervisor should start it again", is(worker.ErrStuck), ""},
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func isBadInput(err error) bool {
	var usage *usageError
	var invalid *tasks.InvalidError
	return errors.As(err, &usage) || errors.As(err, &invalid)
}

func isAway(err error) bool {
	return errors.Is(err, tasks.ErrUnavailable) || errors.Is(err, tasks.ErrOutcomeUnknown)
}

// exitHelp lists the codes for people.
func exitHelp() string {
	lines := []string{"  0   done", "  1   failure"}
	for _, e := range exits {
		lines = append(lines, fmt.Sprintf("  %-3d %s", e.code, e.meaning))
	}
	// The table is in the order of matching; people look by number.
	sortLines(lines)
	return strings.Join(lines, "\n")
}

// end prints the error and gives its code.
func (p *program) end(err error) int {
	if err == nil {
		return exitOK
	}
	var silent *saidError
	if !errors.As(err, &silent) {
		p.complain("%s", err)
	}
	for _, e := range exits {
		if e.match(err) {
			if e.hint != "" {
				fmt.Fprintf(p.errOut, "%s\n", e.hint)
			}
			return e.code
		}
	}
	return exitFailure
}

// saidError is one whose words have been printed already.
type saidError struct{ err error }

func (e *saidError) Error() string { return e.err.Error() }
func (e *saidError) Unwrap() error { return e.err }
