package ledgertest

import (
	"errors"
	"time"

	"evalq/tasks"
)

// keptKey has a caller's transaction keep a key for as long as it is open. Who
// wants the key is told so when a lock has been waited for twice, and whoever comes
// after that goes on.
func keptKey(p *pair) {
	tx, err := p.raw.BeginTx(p.a.ctx, nil)
	p.a.must(err)
	defer tx.Rollback()
	if _, _, err := p.a.AcceptIn(p.a.ctx, tx, report(1, 1), "test"); err != nil {
		p.a.t.Fatal(err)
	}
	began := time.Now()
	wants := make(chan error, 1)
	go func() {
		_, _, err := p.b.Accept(p.b.ctx, report(1, 1), "test")
		wants <- err
	}()
	others := make(chan error, 1)
	go func() {
		_, _, err := p.b.Accept(p.b.ctx, report(2, 2), "test")
		others <- err
	}()
	if err := <-wants; !errors.Is(err, tasks.ErrUnavailable) || errors.Is(err, tasks.ErrOutcomeUnknown) {
		p.b.t.Errorf("who wants the key got %v", err)
	}
	p.b.must(<-others)
	if took := time.Since(began); took > 25*time.Second {
		p.b.t.Errorf("the others went on after %s", took)
	}
	p.a.must(tx.Rollback())
	p.b.accept(report(1, 1))
}
