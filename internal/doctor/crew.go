package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"evalq/internal/redisconn"
	"evalq/tasks"
)

// quiet is how old a sign of life may be. Workers give one each second on a
// ledger of many processes, and every 5 s on one of their own.
const quiet = 10 * time.Second

func alive(o *tasks.Overview, w tasks.Worker) bool { return o.At.Sub(w.BeatAt) <= quiet }

// workersAtWork tells jobs that wait for nobody.
func (v *visit) workersAtWork(ctx context.Context) ([]Finding, error) {
	o, err := v.look(ctx)
	if o == nil || err != nil {
		return nil, err
	}
	slots, n := 0, 0
	for _, w := range o.Workers {
		if alive(o, w) && !w.Draining {
			n, slots = n+1, slots+w.Slots
		}
	}
	waiting := 0
	for _, s := range []tasks.State{tasks.Accepted, tasks.Queued, tasks.Retrying} {
		waiting += o.Count(s)
	}
	switch {
	case v.Stopped && len(o.Oldest) > 0:
		return one(note("no server runs on this ledger; waiting: "+amount(waiting, "job"), "start `evalq serve`"))
	case v.Stopped:
		return one(note("no server runs on this ledger", ""))
	case n == 0 && len(o.Oldest) > 0:
		return one(warning("no worker is alive; waiting: "+amount(waiting, "job"), "start a process with the role worker"))
	case n == 0:
		what := "no worker is alive; nothing waits"
		if consumers := v.consumers(ctx); consumers > 0 {
			what += "; messages of package mq go to " + amount(consumers, "consumer")
		}
		return one(note(what, "start a process with the role worker before jobs come"))
	}
	return one(fine("%s with %s; waiting: %s", amount(n, "worker"), amount(slots, "slot"), amount(waiting, "job")))
}

// consumers counts the processes that take the messages of package mq.
func (v *visit) consumers(ctx context.Context) int {
	if v.Redis == nil {
		return 0
	}
	m, err := redisconn.ReadMessages(ctx, v.Redis, v.Namespace.Queue(tasks.Messages))
	if err != nil {
		return 0 // another check tells of it
	}
	return len(m.Consumers)
}

func (v *visit) workersBeats(ctx context.Context) ([]Finding, error) {
	o, err := v.look(ctx)
	if o == nil || err != nil || v.Stopped {
		return nil, err
	}
	var silent []string
	for _, w := range o.Workers {
		if !alive(o, w) {
			silent = append(silent, fmt.Sprintf("%s on %s, pid %d, for %v", w.ID, clip(w.Host), w.PID, o.At.Sub(w.BeatAt).Round(time.Second)))
		}
	}
	if len(silent) == 0 {
		return one(fine("all show that they live"))
	}
	n := len(silent)
	return one(warning("silent: "+amount(n, "worker")+": "+strings.Join(silent[:min(n, 5)], "; "),
		"see whether they run and reach the database; a relay that leads gives their jobs to others, so when they stay on this list see that one runs"))
}

// workersKinds tells of kinds that jobs wait for and no worker handles.
func (v *visit) workersKinds(ctx context.Context) ([]Finding, error) {
	o, err := v.look(ctx)
	if o == nil || err != nil {
		return nil, err
	}
	if len(o.Unhandled) == 0 {
		return one(fine("no job waits for a worker of its kind"))
	}
	var found []Finding
	for _, u := range o.Unhandled {
		what := fmt.Sprintf("no worker has a handler for the kind %q; waiting: %s, the first for %v", u.Kind, amount(u.Jobs, "job"), o.At.Sub(u.Since).Round(time.Second))
		const do = "start a worker with a handler for it, and they go on by themselves; cancel them when the kind is a mistake"
		if v.Stopped {
			found = append(found, note(what, do))
		} else {
			found = append(found, warning(what, do))
		}
	}
	return found, nil
}

func (v *visit) workersBuilds(ctx context.Context) ([]Finding, error) {
	o, err := v.look(ctx)
	if o == nil || err != nil || v.Stopped {
		return nil, err
	}
	var builds []string
	for _, w := range o.Workers {
		if alive(o, w) && !slices.Contains(builds, w.Build) {
			builds = append(builds, w.Build)
		}
	}
	slices.Sort(builds)
	switch len(builds) {
	case 0:
		return none()
	case 1:
		return one(fine("all are %s", builds[0]))
	}
	return one(note("workers of different builds: "+strings.Join(builds, ", "), "nothing while you are rolling out a version; else stop the old ones"))
}

// relayLeads waits for a sign of life of the relay that leads.
func (v *visit) relayLeads(ctx context.Context) ([]Finding, error) {
	if v.Ledger == nil || v.Kind == SQLite {
		return none() // a process that owns its ledger leads
	}
	first, err := v.Ledger.Lease(ctx)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(v.cfg.Watch / 20)
	defer tick.Stop()
	end := time.NewTimer(v.cfg.Watch)
	defer end.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-end.C:
			const do = "start a process with the role relay; until then jobs are accepted and wait, and lost workers are not noticed"
			if first == "" {
				return one(warning("no relay leads", do))
			}
			return one(warning(fmt.Sprintf("the relay that led has shown no sign of life for %v", v.cfg.Watch), do))
		case <-tick.C:
		}
		now, err := v.Ledger.Lease(ctx)
		if err != nil {
			return nil, err
		}
		if now != first && now != "" {
			holder, _, _ := strings.Cut(now, " ")
			return one(fine("the relay %s leads", holder))
		}
	}
}
