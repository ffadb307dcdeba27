package ledgertest

import (
	"time"

	"evalq/tasks"
)

// lostRow is what a standby that lacks the last seconds, or a restored backup,
// does to a worker that goes on: it has never joined.
func lostRow(p *pair) {
	p.exec(`DELETE FROM evalq_workers WHERE id = 'w1'`)
	p.a.must(p.a.Beat(p.a.ctx, worker, false))
	j, f := p.a.running(report(1, 1))
	if lost := p.watch(3*time.Second, worker, second); lost != 0 {
		p.a.t.Fatalf("%d jobs of a worker that beats were lost", lost)
	}
	p.a.wantState(j.ID, tasks.Running)
	o, err := p.b.Overview(p.b.ctx)
	p.a.must(err)
	if len(o.Workers) != 2 || o.Workers[0].Slots != 4 || o.Workers[1].Slots != 4 {
		p.a.t.Fatalf("the workers are %+v", o.Workers)
	}
	p.a.complete(f)

	p.a.must(p.a.Leave(p.a.ctx, worker))
	p.exec(`DELETE FROM evalq_workers WHERE id = 'w1'`)
	p.a.must(p.a.Beat(p.a.ctx, worker, false)) // late
	if o, err := p.b.Overview(p.b.ctx); err != nil || len(o.Workers) != 1 {
		p.a.t.Fatalf("a worker that has left is back: %+v, %v", o.Workers, err)
	}
}
