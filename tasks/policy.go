package tasks

import (
	"fmt"
	"math"
	"time"
)

// Policy is how a kind of job is tried.
type Policy struct {
	// Attempts is how many failures of the job's own it may have in a run; at
	// the last it is dead. Transient errors and attempts that saved a
	// checkpoint are not counted. Defaults to 5.
	Attempts int
	// Deaths is how many workers may die with the job in a run. Defaults to 3.
	Deaths int
	// TransientFor bounds a series of transient errors, from the first of the
	// run. Defaults to 24 hours.
	TransientFor time.Duration
	// CallTimeout bounds one paid step (one call of a model). Defaults to 120 s.
	CallTimeout time.Duration
	// IdleTimeout bounds the time without progress: no step finished. Defaults
	// to 120 s for reports, 300 s for topics and kinds of a platform's own.
	IdleTimeout time.Duration
	// TotalTimeout bounds one attempt. Defaults to 30 minutes.
	TotalTimeout time.Duration
	// BackoffBase and BackoffMax shape the delay before the next attempt.
	// Default to 2 s and 5 minutes.
	BackoffBase, BackoffMax time.Duration
	// Retention is how long a finished task stays visible in Asynqmon. The
	// ledger keeps the job and its result regardless. Defaults to 24 hours.
	Retention time.Duration
}

var defaultPolicy = Policy{
	Attempts: 5, Deaths: 3, TransientFor: 24 * time.Hour,
	CallTimeout: 120 * time.Second, IdleTimeout: 300 * time.Second, TotalTimeout: 30 * time.Minute,
	BackoffBase: 2 * time.Second, BackoffMax: 5 * time.Minute, Retention: 24 * time.Hour,
}

// policies is the policy table: what differs from defaultPolicy, by kind. The
// two idle limits are the original's limits of the whole evaluation.
var policies = map[Kind]func(*Policy){
	KindEvaluationReport: func(p *Policy) { p.IdleTimeout = 120 * time.Second },
	KindTopicEvaluation:  func(p *Policy) { p.IdleTimeout = 300 * time.Second },
}

// PolicyFor gives the policy of a kind from the table; a kind that is not in
// it gets the defaults.
func PolicyFor(kind Kind) Policy {
	p := defaultPolicy
	if set, ok := policies[kind]; ok {
		set(&p)
	}
	return p
}

// Validate names the first field that is out of range.
func (p Policy) Validate() error {
	if p.Attempts < 1 || p.Attempts > 1000 {
		return fmt.Errorf("Attempts: %d is not between 1 and 1000", p.Attempts)
	}
	if p.Deaths < 1 || p.Deaths > 1000 {
		return fmt.Errorf("Deaths: %d is not between 1 and 1000", p.Deaths)
	}
	for _, f := range []struct {
		name string
		d    time.Duration
	}{
		{"TransientFor", p.TransientFor}, {"CallTimeout", p.CallTimeout}, {"IdleTimeout", p.IdleTimeout},
		{"TotalTimeout", p.TotalTimeout}, {"BackoffBase", p.BackoffBase}, {"BackoffMax", p.BackoffMax}, {"Retention", p.Retention},
	} {
		if f.d <= 0 {
			return fmt.Errorf("%s: must be above zero", f.name)
		}
	}
	if p.BackoffMax < p.BackoffBase {
		return fmt.Errorf("BackoffMax: %s is below BackoffBase %s", p.BackoffMax, p.BackoffBase)
	}
	if p.TotalTimeout > 23*time.Hour {
		return fmt.Errorf("TotalTimeout: %s is above 23h, the longest that a task may be leased", p.TotalTimeout)
	}
	return nil
}

// Backoff is the delay before the attempt that follows n failures (n ≥ 1): a
// part r, 0 ≤ r < 1, of min(BackoffMax, BackoffBase·2^(n-1)). This is "full
// jitter" as AWS's architecture blog names it: a uniform r spreads a herd best.
func (p Policy) Backoff(n int, r float64) time.Duration {
	if n < 1 {
		n = 1
	}
	ceiling := p.BackoffMax
	if n <= 63 { // beyond, 2^(n-1) nanoseconds are above any maximum
		if d := float64(p.BackoffBase) * math.Exp2(float64(n-1)); d < float64(ceiling) {
			ceiling = time.Duration(d)
		}
	}
	return time.Duration(r * float64(ceiling))
}
