package ledgertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"evalq/internal/ledger"
	"evalq/tasks"
)

// crossfire lets many callers of both processes act on a few jobs at random and
// at the same time.
func crossfire(p *pair) {
	const jobs, callers, steps = 6, 6, 60
	var ids []string
	for i := range int64(jobs) {
		ids = append(ids, p.a.accept(report(i%2+1, i+1)).ID)
	}
	var mu sync.Mutex
	results := map[string]int{}
	p.both(func(w *world) {
		who := map[*world]string{p.a: worker, p.b: second}[w]
		var wg sync.WaitGroup
		for caller := range uint64(callers) {
			wg.Go(func() {
				s := &shooter{world: w, who: who, rng: rand.New(rand.NewPCG(caller, uint64(len(who)+int(who[1])))), ids: ids}
				for range steps {
					if id := s.step(); id != "" {
						mu.Lock()
						results[id]++
						mu.Unlock()
					}
				}
			})
		}
		wg.Wait()
	})
	for _, id := range ids {
		p.a.wantLegalHistory(id)
		j := p.a.get(id)
		if n := results[id]; n > 1 || (n == 1) != (j.State == tasks.Succeeded) {
			p.a.t.Errorf("job %s is %s with %d results", id, j.State, n)
		}
		attempts, err := p.a.Attempts(p.a.ctx, id)
		p.a.must(err)
		for i, a := range attempts {
			if a.Number != i+1 || (a.FinishedAt.IsZero() != (j.State == tasks.Running && i == len(attempts)-1)) {
				p.a.t.Errorf("attempt %d of %s (%s) is %+v", i+1, id, j.State, a)
			}
		}
	}
}

// shooter is one caller of crossfire. It remembers what it began.
type shooter struct {
	*world
	who  string
	rng  *rand.Rand
	ids  []string
	mine []tasks.Fence
}

// step does one thing; it answers the job that it has finished, if any.
func (s *shooter) step() string {
	id := s.ids[s.rng.IntN(len(s.ids))]
	ctx := s.ctx
	var err error
	switch s.rng.IntN(10) {
	case 0, 1:
		_, err = s.Feed(ctx, tasks.Default, ledger.Window{PerUser: 100, Total: 100})
	case 2, 3, 4:
		err = s.arrive(ctx, id)
	case 5:
		return s.finish(ctx)
	case 6:
		err = s.stumble(ctx)
	case 7:
		_, err = s.Retry(ctx, id, "op", "")
	case 8:
		_, err = s.Ripen(ctx)
	case 9:
		j, gerr := s.Get(ctx, id)
		if gerr == nil {
			gerr = s.Redeliver(ctx, id, j.Delivery, "lost")
		}
		err = gerr
	}
	if err != nil && !errors.Is(err, tasks.ErrConflict) && !errors.Is(err, tasks.ErrStale) {
		s.t.Errorf("a step: %v", err)
	}
	return ""
}

func (s *shooter) arrive(ctx context.Context, id string) error {
	j, err := s.Get(ctx, id)
	if err != nil {
		return err
	}
	c, err := s.Begin(ctx, tasks.Delivery{Job: id, Number: j.Delivery, Worker: s.who})
	if err == nil && c.Outcome == tasks.Mine {
		s.mine = append(s.mine, tasks.Fence{Job: id, Attempt: c.Job.Attempt, Worker: s.who})
		_, err = s.ClaimStep(ctx, s.mine[len(s.mine)-1], "scope", "step")
	}
	return err
}

func (s *shooter) finish(ctx context.Context) string {
	if len(s.mine) == 0 {
		return ""
	}
	f := s.mine[len(s.mine)-1]
	s.mine = s.mine[:len(s.mine)-1]
	body := json.RawMessage(fmt.Sprintf(`"%s-%d"`, f.Worker, f.Attempt))
	err := s.Complete(ctx, f, tasks.Finish{Result: body})
	if err == nil {
		return f.Job
	}
	if !errors.Is(err, tasks.ErrStale) && !errors.Is(err, tasks.ErrCancelled) {
		s.t.Errorf("complete: %v", err)
	}
	return ""
}

func (s *shooter) stumble(ctx context.Context) error {
	if len(s.mine) == 0 {
		return nil
	}
	f := s.mine[s.rng.IntN(len(s.mine))]
	_, err := s.Fail(ctx, f, tasks.Trouble{Failure: tasks.Failure{Class: tasks.ClassUnavailable}})
	return err
}
