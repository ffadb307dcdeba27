package chaos

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
)

const (
	lookEvery = 25 * time.Millisecond
	// patience is how long nothing may finish before what is unfinished counts
	// as lost.
	patience = 120 * time.Second
	// busy is how many attempts a fault would like to find at work.
	busy = 8
	// busyWait is how long it waits for that, and preyWait how long for the process
	// that the seed has chosen to have work.
	busyWait, preyWait = 5 * time.Second, 10 * time.Second
)

var (
	// errStuck means that nothing finished for too long.
	errStuck = errors.New("nothing has finished for " + patience.String())
	// errDry means that all jobs were finished before all faults had struck.
	errDry = errors.New("no work was left")
)

// experiment submits, breaks, waits, stops, and counts.
func (w *world) experiment(ctx context.Context) (*Report, error) {
	faults := schedule(w.cfg.Seed, w.whole(), w.cfg.Short)
	w.cfg.Tell("%d jobs on %s and %s, %d faults, seed %d; logs in %s", w.cfg.Jobs, w.ledgerIs, w.redisIs, len(faults), w.cfg.Seed, w.folder)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l := newLoad(w.apis, w.cfg.Seed)
	seen := newWitness(w.books, l.pace)
	var sides sync.WaitGroup
	sides.Go(func() {
		if err := l.run(ctx, w.cfg.Jobs/2); err != nil {
			cancel(err)
		}
	})
	watching, blind := context.WithCancel(ctx)
	sides.Go(func() { seen.watch(watching) })
	all, err := w.breakAll(ctx, faults, l)
	if err == nil {
		err = w.settle(ctx, l)
	}
	blind()
	if err != nil {
		cancel(err) // what was not accepted by now never will be
	}
	sides.Wait()
	switch {
	case errors.Is(err, errStuck):
		w.cfg.Tell("%v", err)
	case err != nil:
		return nil, err
	}
	return w.count(context.WithoutCancel(ctx), l, seen, all)
}

// share is how many jobs part k of all parts ends with. Each of the n faults has
// two parts: one that comes before it, so that it finds work, and one that comes
// while it lasts.
func (w *world) share(k, n int) int { return k * w.cfg.Jobs / (2*n + 1) }

// breakAll carries the schedule out. Each fault has its place in the progress of
// the jobs, and its own share of them.
func (w *world) breakAll(ctx context.Context, faults []fault, l *load) ([]struck, error) {
	var all []struck
	for k, f := range faults {
		l.allow(w.share(2*k+1, len(faults)) / 2)
		if f.calm {
			if err := w.recovered(ctx, all); err != nil {
				return all, err
			}
		}
		t, n, err := w.await(ctx, f, w.share(2*k, len(faults)), l)
		if errors.Is(err, errDry) {
			all = append(all, struck{fault: f, undone: err.Error()})
			continue
		}
		if err != nil {
			return all, err
		}
		working := w.atWork(t)
		stop := l.trickle(w.share(2*k+1, len(faults))/2, w.share(2*k+2, len(faults))/2, f.lasts)
		s, err := w.strike(ctx, f, t, n)
		stop()
		all = append(all, s)
		if err != nil {
			return all, err
		}
		w.cfg.Tell("%s %4d of %d finished, %2d at work: %s %s%s", clock(s.at), t.finished, w.cfg.Jobs, working, s.target, s.note, s.undone)
		if f.calm {
			if err := w.recovered(ctx, all); err != nil {
				return all, err
			}
		}
	}
	l.allow(w.cfg.Jobs)
	return all, nil
}

// await returns when so many jobs are accepted and others run, on the process
// that the fault is for.
func (w *world) await(ctx context.Context, f fault, accepted int, l *load) (t tally, n *node, err error) {
	var since time.Time
	dry := false
	err = w.watch(ctx, func(now tally) bool {
		if dry = now.finished == w.cfg.Jobs; dry {
			return true
		}
		if now.accepted < accepted {
			return false
		}
		if since.IsZero() {
			since = time.Now()
		}
		working := w.atWork(now)
		if working < busy && now.finished >= now.accepted {
			l.allow(now.accepted/2 + callers) // it went by while nobody looked
		}
		if working == 0 || working < busy && time.Since(since) < busyWait {
			return false
		}
		t = now
		role, alone := prey[f.kind]
		if !alone {
			return true
		}
		n = w.choose(role, f.pick, now, time.Since(since) > preyWait)
		return n != nil
	})
	if err == nil && dry {
		err = errDry
	}
	return t, n, err
}

// atWork counts the attempts of processes that are there: those of a dead one
// are on record as running until its death is noticed.
func (w *world) atWork(t tally) int {
	n := 0
	for _, node := range w.nodes {
		n += t.running[node.pid()]
	}
	return n
}

// choose takes the node that the seed has picked once it is up and has work, in
// the end any that has.
func (w *world) choose(role string, pick int, t tally, any bool) *node {
	nodes := w.role(role)
	works := func(n *node) bool {
		pid := n.pid()
		return pid != 0 && (role == "api" || role == "relay" || t.running[pid] > 0)
	}
	for i := range nodes {
		if n := nodes[(pick+i)%len(nodes)]; works(n) {
			return n
		}
		if !any {
			break
		}
	}
	return nil
}

// watch looks at the ledger until ok says so. Nothing finished for too long is
// errStuck.
func (w *world) watch(ctx context.Context, ok func(tally) bool) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	last, at := -1, time.Now()
	for {
		t, err := w.books.tally(ctx)
		if err == nil && ok(t) { // an error: the server is down for now
			return nil
		}
		if err == nil && t.finished != last {
			last, at = t.finished, time.Now()
		}
		if time.Since(at) > patience {
			return fmt.Errorf("chaos: %w", errStuck)
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// recovered waits until no job is left where a worker that was hit has left it.
func (w *world) recovered(ctx context.Context, all []struck) error {
	end := time.Now().Add(patience)
	return w.watch(ctx, func(tally) bool {
		for _, s := range all {
			if !s.alone() || s.worker == "" {
				continue
			}
			if n, err := w.books.leftBehind(ctx, s.worker, s.at); err != nil || n > 0 {
				return time.Now().After(end)
			}
		}
		return true
	})
}

// settle waits until every job is accepted and finished.
func (w *world) settle(ctx context.Context, l *load) error {
	return w.watch(ctx, func(t tally) bool {
		return l.submitted.Load() == int64(w.cfg.Jobs/2) && t.finished == t.accepted && t.accepted >= w.cfg.Jobs
	})
}

// count stops everything and compares the books with the judge's log.
func (w *world) count(ctx context.Context, l *load, seen *witness, all []struck) (*Report, error) {
	problems := w.stop()
	rec, err := w.books.read(ctx)
	if err != nil {
		return nil, err
	}
	calls, err := readLog(w.judgeLog())
	if err != nil {
		return nil, err
	}
	r := judge(evidence{
		accepted: l.known(), record: rec, calls: calls, first: seen.results(), struck: all, wrongJob: l.others,
	})
	r.Jobs, r.Seed, r.Short, r.Second = w.cfg.Jobs, w.cfg.Seed, w.cfg.Short, l.second
	r.Ledger, r.Redis, r.Evalq = w.ledgerIs, w.redisIs, w.cfg.Version
	r.Go, r.Platform, r.CPUs = runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH, runtime.NumCPU()
	r.Whole, r.Repeated = w.whole(), l.repeated.Load()
	r.Notes = append(r.Notes, problems...)
	return r, nil
}
