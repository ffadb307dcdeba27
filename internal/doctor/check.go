package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"evalq/tasks"
)

// group is checks that need the same thing. The groups are looked at side by
// side, the checks of one after each other.
type group int

const (
	ofSettings group = iota
	ofRedis
	ofLedger
	ofPlatform
	groups
)

// check is one row of the table of checks.
type check struct {
	name  string
	looks string // what it looks at, for people
	group group
	when  when
	// gate is set on a check without which the rest of its group makes no sense.
	gate bool
	// within bounds it. Defaults to Config.Patience.
	within time.Duration
	// look says what it found, nothing when the check does not apply. An error
	// means that it could not be made.
	look func(*visit, context.Context) ([]Finding, error)
}

type when int

const (
	always     when = iota
	notAtStart      // a server that begins cannot know it, or it takes long
	onlyDeep
)

// Check describes a check.
type Check struct {
	Name  string
	Looks string
	Start bool // also at the start of a server
	Deep  bool // only when asked for
}

// Checks lists the checks in the order in which they are made.
func Checks() []Check {
	var out []Check
	for _, c := range table {
		out = append(out, Check{c.name, c.looks, c.when == always, c.when == onlyDeep})
	}
	return out
}

// visit is one examination. What several checks need is read once; each group
// writes its own fields only.
type visit struct {
	Subject
	cfg      Config
	info     string            // of Redis
	settings map[string]string // of the database
	overview *tasks.Overview
	blind    bool // the jobs could not be counted, which is said already
}

func (v *visit) skips(c check) bool {
	return c.when == onlyDeep && !v.cfg.Deep || c.when != always && v.cfg.Start
}

// group makes the checks of one group, as far as its gate lets.
func (v *visit) group(ctx context.Context, g group) []Finding {
	var all []Finding
	for i, c := range table {
		if c.group != g || v.skips(c) {
			continue
		}
		if ctx.Err() != nil {
			return append(all, v.outOfTime(table[i:], g))
		}
		found := v.make(ctx, c)
		all = append(all, found...)
		if c.gate && !v.passes(g, found) {
			return all
		}
	}
	return all
}

// passes reports whether there is something to look at behind a gate.
func (v *visit) passes(g group, found []Finding) bool {
	there := g == ofRedis && v.Redis != nil || g == ofLedger && v.Database != nil
	return there && Worst(found) != Failure
}

func (v *visit) outOfTime(rest []check, g group) Finding {
	var names []string
	for _, c := range rest {
		if c.group == g && !v.skips(c) {
			names = append(names, c.name)
		}
	}
	return Finding{names[0], Warning, "there was no time left for " + strings.Join(names, ", "), "run `evalq doctor`"}
}

// make makes one check within its time.
func (v *visit) make(ctx context.Context, c check) []Finding {
	within := c.within
	if within == 0 {
		within = v.cfg.Patience
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	found, err := c.run(ctx, v)
	if err != nil {
		found = append(found, unseen(ctx, err, within))
	}
	for i := range found {
		if found[i].Check == "" {
			found[i].Check = c.name
		}
	}
	return found
}

// run keeps a slip in a check from ending a server that starts.
func (c check) run(ctx context.Context, v *visit) (found []Finding, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in the check: %v", p)
		}
	}()
	return c.look(v, ctx)
}

// unseen is the finding of a check that could not be made. Where we may not ask,
// as with many hosted servers, somebody else sees to it.
func unseen(ctx context.Context, err error, within time.Duration) Finding {
	switch {
	case refused(err):
		return note("this could not be asked: "+err.Error(), "")
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return warning(fmt.Sprintf("there was no answer within %v: %v", within, err), "see that the server is not overloaded, and ask again")
	}
	return warning("this could not be looked at: "+err.Error(), "see that the server answers, and ask again")
}

// refused: access rules of Redis, commands that a provider took away, privileges
// of a database.
func refused(err error) bool {
	text := err.Error()
	for _, sign := range []string{"NOPERM", "unknown command", "permission denied", "command denied", "Access denied"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}

func fine(format string, args ...any) Finding {
	return Finding{Level: OK, What: fmt.Sprintf(format, args...)}
}
func note(what, do string) Finding    { return Finding{Level: Note, What: what, Do: do} }
func warning(what, do string) Finding { return Finding{Level: Warning, What: what, Do: do} }
func failure(what, do string) Finding { return Finding{Level: Failure, What: what, Do: do} }

// one is the answer of a check that found one thing.
func one(f Finding) ([]Finding, error) { return []Finding{f}, nil }

// none is the answer of a check that does not apply.
func none() ([]Finding, error) { return nil, nil }

// amount is a number of things, such as "1 job" or "2 jobs".
func amount(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// clip bounds what somebody else has named.
func clip(s string) string { return fmt.Sprintf("%.60q", s) }
