package tasks_test

import (
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"evalq/tasks"
)

func TestPolicyTableHoldsThePromisedValues(t *testing.T) {
	t.Parallel()
	for kind, idle := range map[tasks.Kind]time.Duration{
		tasks.KindEvaluationReport: 120 * time.Second, tasks.KindTopicEvaluation: 300 * time.Second, custom: 300 * time.Second,
	} {
		want := tasks.Policy{
			Attempts: 5, Deaths: 3, TransientFor: 24 * time.Hour, CallTimeout: 120 * time.Second, IdleTimeout: idle, TotalTimeout: 30 * time.Minute,
			BackoffBase: 2 * time.Second, BackoffMax: 5 * time.Minute, Retention: 24 * time.Hour,
		}
		got := tasks.PolicyFor(kind)
		if got != want {
			t.Errorf("%s: got %+v, want %+v", kind, got, want)
		}
		if err := got.Validate(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestPolicyNamesTheFieldThatIsOutOfRange(t *testing.T) {
	t.Parallel()
	for field, spoil := range map[string]func(*tasks.Policy){
		"Attempts:":      func(p *tasks.Policy) { p.Attempts = 0 },
		"Attempts: 1001": func(p *tasks.Policy) { p.Attempts = 1001 },
		"Deaths:":        func(p *tasks.Policy) { p.Deaths = 0 },
		"TransientFor:":  func(p *tasks.Policy) { p.TransientFor = 0 },
		"CallTimeout:":   func(p *tasks.Policy) { p.CallTimeout = -1 },
		"IdleTimeout:":   func(p *tasks.Policy) { p.IdleTimeout = 0 },
		"TotalTimeout:":  func(p *tasks.Policy) { p.TotalTimeout = 24 * time.Hour },
		"BackoffBase:":   func(p *tasks.Policy) { p.BackoffBase = 0 },
		"BackoffMax:":    func(p *tasks.Policy) { p.BackoffMax = p.BackoffBase - 1 },
		"Retention:":     func(p *tasks.Policy) { p.Retention = 0 },
	} {
		p := tasks.PolicyFor(custom)
		spoil(&p)
		if err := p.Validate(); err == nil || !strings.HasPrefix(err.Error(), field) {
			t.Errorf("%s got %v", field, err)
		}
	}
}

// ceilingOf computes min(BackoffMax, BackoffBase·2^(n-1)) without floats.
func ceilingOf(p tasks.Policy, n int) time.Duration {
	d := new(big.Int).Lsh(big.NewInt(int64(p.BackoffBase)), uint(max(n, 1)-1))
	if d.Cmp(big.NewInt(int64(p.BackoffMax))) > 0 {
		return p.BackoffMax
	}
	return time.Duration(d.Int64())
}

func TestBackoffStaysBelowACeilingThatNeverFalls(t *testing.T) {
	t.Parallel()
	const almostOne = 1 - 1.0/(1<<53)
	const most = 100 * 24 * time.Hour // a float holds its nanoseconds exactly
	rapid.Check(t, func(t *rapid.T) {
		base := rapid.Int64Range(1, int64(most)).Draw(t, "base")
		p := tasks.Policy{BackoffBase: time.Duration(base), BackoffMax: time.Duration(rapid.Int64Range(base, int64(most)).Draw(t, "max"))}
		n := rapid.OneOf(rapid.IntRange(-3, 70), rapid.IntRange(38, 45), rapid.IntRange(0, 1<<20)).Draw(t, "n")
		r := rapid.OneOf(rapid.Float64Range(0, almostOne), rapid.Just(almostOne)).Draw(t, "r")
		ceiling, d := ceilingOf(p, n), p.Backoff(n, r)
		if d < 0 || d > ceiling {
			t.Fatalf("%s after %d failures is not between 0 and %s", d, n, ceiling)
		}
		if top := p.Backoff(n, almostOne); top > ceiling || top < ceiling-1 {
			t.Fatalf("the delay after %d failures goes up to %s, want %s", n, top, ceiling)
		}
		if p.Backoff(n+1, r) < d {
			t.Fatalf("with equal luck, the delay falls from %s to %s", d, p.Backoff(n+1, r))
		}
		if p.Backoff(n, 0) != 0 {
			t.Fatalf("without luck the delay is %s", p.Backoff(n, 0))
		}
	})
}

func TestBackoffOfATinyBaseDoublesUntilItsMaximum(t *testing.T) {
	t.Parallel()
	p := tasks.Policy{BackoffBase: 1, BackoffMax: 24 * time.Hour}
	for n := 1; n <= 70; n++ {
		if got, want := p.Backoff(n, 0.5), ceilingOf(p, n)/2; got != want {
			t.Errorf("after %d failures: %s, want %s", n, got, want)
		}
	}
}

func TestDefaultBackoffDoublesUpToFiveMinutes(t *testing.T) {
	t.Parallel()
	p := tasks.PolicyFor(custom)
	for n, want := range map[int]time.Duration{0: time.Second, 1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 8: 128 * time.Second, 9: 150 * time.Second, 1000: 150 * time.Second} {
		if got := p.Backoff(n, 0.5); got != want {
			t.Errorf("after %d failures: %s, want %s", n, got, want)
		}
	}
}
