package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"evalq/tasks"
)

// kindAsked is how long it is not asked again whether a kind is known.
const kindAsked = 30 * time.Second

// CheckKind refuses, with a *tasks.InvalidError, a request for a kind that is not
// known, unless the request says that the kind is new. Every way in that can tell
// its caller asks here; what has been taken already, such as a task in Redis, is
// accepted, and held until a worker handles it.
func (l *Ledger) CheckKind(ctx context.Context, r tasks.Request) error {
	if r.Payload == nil || r.NewKind {
		return nil
	}
	k := r.Payload.Kind()
	if k.Builtin() || k.Validate() != nil { // which Accept refuses
		return nil
	}
	if asked, ok := l.familiar.Load(k); ok && l.clock.now().Sub(asked.(time.Time)) < kindAsked {
		return nil
	}
	known, err := l.Kinds(ctx)
	if err != nil {
		return err
	}
	if !slices.Contains(known, k) {
		return &tasks.InvalidError{Err: unknownKind(known)}
	}
	l.familiar.Store(k, l.clock.now())
	return nil
}

// mostNamed bounds how many kinds an error names.
const mostNamed = 20

func unknownKind(known []tasks.Kind) error {
	names := make([]string, 0, len(known))
	for _, k := range known[:min(len(known), mostNamed)] {
		names = append(names, string(k))
	}
	if len(known) > mostNamed {
		names = append(names, "…")
	}
	return fmt.Errorf("kind: unknown: no worker of this ledger has had a handler for it in the last 30 days. Known are %s. "+
		"When its worker is still to come, say that the kind is new (new_kind); its jobs then wait for that worker", strings.Join(names, ", "))
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
	var away error // the ledger cannot be asked, and need not be for each
	for i, r := range rs {
		err := away
		if err == nil {
			err = l.CheckKind(ctx, r)
		}
		if err != nil {
			out[i].Err = err
			if errors.Is(err, tasks.ErrUnavailable) {
				away = err
			}
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
