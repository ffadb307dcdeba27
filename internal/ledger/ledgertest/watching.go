package ledgertest

import (
	"time"

	"evalq/tasks"
)

// observe has the second process watch each second, as a relay that does not lead,
// while those workers beat.
func (p *pair) observe(d time.Duration, beating ...string) {
	p.a.t.Helper()
	for range int(d / time.Second) {
		p.a.clock.pass(time.Second)
		for _, w := range beating {
			p.a.must(p.a.Beat(p.a.ctx, w, false))
		}
		p.b.must(p.b.Observe(p.b.ctx))
	}
}

// watchedBySecond has the second process watch a silent worker and then lead.
func watchedBySecond(p *pair) {
	dead, _ := p.a.running(report(1, 1))
	p.b.must(p.b.Observe(p.b.ctx))
	p.observe(20*time.Second, second)
	p.b.wantState(dead.ID, tasks.Running) // it only watched
	if lost, err := p.b.Recover(p.b.ctx); err != nil || lost != 1 {
		p.a.t.Fatalf("who had watched for 20 s and leads now lost %d jobs, %v", lost, err)
	}
	p.b.wantState(dead.ID, tasks.Accepted)
	// Who has not watched begins with it.
	other := p.b.accept(report(1, 2))
	p.b.feed()
	if _, err := p.b.Begin(p.b.ctx, tasks.Delivery{Job: other.ID, Number: 1, Worker: second}); err != nil {
		p.a.t.Fatal(err)
	}
	p.a.clock.pass(20 * time.Second)
	if lost, err := p.a.Recover(p.a.ctx); err != nil || lost != 0 {
		p.a.t.Fatalf("who had not watched lost %d jobs, %v", lost, err)
	}
	p.b.wantState(other.ID, tasks.Running)
}

// releasedTooOften has a job come back for an interview that is there each time
// it is sent on its way.
func releasedTooOften(p *pair) {
	j := p.a.accept(report(1, 1))
	held := func() {
		p.a.t.Helper()
		p.exec(`DELETE FROM evalq_interviews`)
		p.a.feed()
		_, f := p.a.start(j.ID)
		_, err := p.a.Fail(p.a.ctx, f, tasks.Trouble{Hold: tasks.HoldInterviewMissing})
		p.a.must(err)
		p.exec(`INSERT INTO evalq_interviews (report_id, user_id, hash, body, updated_at) VALUES (1, 1, 'h', '{}', 1)`)
	}
	released := func(want int) {
		p.a.t.Helper()
		if n, err := p.b.Unhold(p.b.ctx); err != nil || n != want {
			p.a.t.Fatalf("%d jobs were released, %v; want %d", n, err, want)
		}
	}
	for range 5 {
		held()
		released(1)
		p.a.clock.pass(2 * time.Second)
	}
	held()
	released(0)
	p.a.wantState(j.ID, tasks.Held)
	p.a.clock.pass(49 * time.Second)
	released(0) // 59 s after the first
	p.a.clock.pass(2 * time.Second)
	released(1)
	p.a.wantState(j.ID, tasks.Accepted)
}
