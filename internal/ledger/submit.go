package ledger

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"evalq/tasks"
)

// kindAsked is how long it is not asked again whether a kind is known.
const kindAsked = 30 * time.Second

// KindCheck gives a check for the requests of one call, which reads the known kinds
// once at most, however many requests there are. It is not safe for concurrent use.
// It refuses, with a *tasks.InvalidError, a request for a kind that is malformed, or
// not known unless the request says that the kind is new. The text names the known
// kinds and never quotes the refused one. Every way to submit that can answer its
// caller checks; what has been taken already, such as a task in Redis, is accepted,
// and held until a worker handles it.
func (l *Ledger) KindCheck() func(context.Context, tasks.Request) error {
	var known []tasks.Kind
	var away error // the ledger cannot be asked, and is not for each request
	kinds := func(ctx context.Context) ([]tasks.Kind, error) {
		if known == nil && away == nil {
			known, away = l.Kinds(ctx)
		}
		return known, away
	}
	return func(ctx context.Context, r tasks.Request) error {
		switch r.Payload.(type) {
		case tasks.EvaluationReport, tasks.TopicEvaluation, tasks.Custom:
		default: // which Accept refuses: none, or a pointer, which may be nil
			return nil
		}
		k := r.Payload.Kind()
		malformed := k.Validate() != nil
		if !malformed && (k.Builtin() || r.NewKind || l.isFamiliar(k)) {
			return nil
		}
		known, err := kinds(ctx)
		switch {
		case err != nil:
			return err
		case malformed:
			return &tasks.InvalidError{Err: malformedKind(k, known)}
		case !slices.Contains(known, k):
			return &tasks.InvalidError{Err: unknownKind(known)}
		}
		l.familiar.Store(k, l.clock.now())
		return nil
	}
}

// isFamiliar reports whether k was known a moment ago.
func (l *Ledger) isFamiliar(k tasks.Kind) bool {
	asked, ok := l.familiar.Load(k)
	if !ok {
		return false
	}
	passed := l.clock.now().Sub(asked.(time.Time))
	return passed >= 0 && passed < kindAsked
}

// mostNamed bounds how many kinds an error names.
const mostNamed = 20

func kindNames(known []tasks.Kind) string {
	names := make([]string, 0, mostNamed+1)
	for _, k := range known[:min(len(known), mostNamed)] {
		names = append(names, string(k))
	}
	if len(known) > mostNamed {
		names = append(names, "…")
	}
	return strings.Join(names, ", ")
}

func malformedKind(k tasks.Kind, known []tasks.Kind) error {
	if k == "" {
		return fmt.Errorf("kind: missing. Known are %s", kindNames(known))
	}
	return fmt.Errorf("kind: must be 1 to 63 lower-case letters, digits and underscores, beginning with a letter. Known are %s", kindNames(known))
}

func unknownKind(known []tasks.Kind) error {
	return fmt.Errorf("kind: unknown: no worker of this ledger has had a handler for it in the last 30 days. Known are %s. "+
		"When its worker is still to come, say that the kind is new (new_kind); its jobs then wait for that worker", kindNames(known))
}

// Submit is Accept for a caller who can be told that the kind is not known.
func (l *Ledger) Submit(ctx context.Context, r tasks.Request, who string) (tasks.Job, bool, error) {
	out := l.SubmitMany(ctx, []tasks.Request{r}, who)
	return out[0].Job, out[0].Created, out[0].Err
}

// SubmitMany is AcceptMany for such a caller.
func (l *Ledger) SubmitMany(ctx context.Context, rs []tasks.Request, who string) []tasks.Accepting {
	out := make([]tasks.Accepting, len(rs))
	good, index := make([]tasks.Request, 0, len(rs)), make([]int, 0, len(rs))
	check := l.KindCheck()
	for i, r := range rs {
		if err := check(ctx, r); err != nil {
			out[i].Err = err
			continue
		}
		good, index = append(good, r), append(index, i)
	}
	if len(good) == 0 {
		return out
	}
	for n, a := range l.AcceptMany(ctx, good, who) {
		out[index[n]] = a
	}
	return out
}
