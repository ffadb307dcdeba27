package chaos

import (
	"math/rand/v2"
	"time"
)

// kind is one way to break something, in the words of the table.
type kind string

const (
	workerKilled  kind = "worker killed"
	apiKilled     kind = "API killed"
	relayKilled   kind = "relay killed"
	processKilled kind = "whole process killed"
	redisKilled   kind = "redis-server killed"
	redisWiped    kind = "Redis wiped"
	redisCut      kind = "connections to Redis cut"
	redisSlow     kind = "connections to Redis slowed down"
	redisLossy    kind = "replies of Redis lost"
	ledgerCut     kind = "connections to the ledger cut"
	ledgerSlow    kind = "connections to the ledger slowed down"
	ledgerLossy   kind = "replies of the ledger lost"
	commitsLost   kind = "replies to COMMIT lost"
	apiLossy      kind = "replies of the API lost"
	workerCut     kind = "worker cut off from the ledger"
	workerFrozen  kind = "worker frozen for a while"
	workerDead    kind = "worker's connections to the ledger dead"
	apiDead       kind = "API's connections to the ledger dead"
	serverKilled  kind = "SQL server killed"
	ledgerFull    kind = "ledger full"
)

// plans says how often each thing is broken, and for how long: in a full run and
// in a short one, with roles apart and in one process.
var plans = []struct {
	kind                               kind
	apart, apartShort, whole, oneShort int
	least, most                        time.Duration
}{
	{workerKilled, 10, 2, 0, 0, 0, time.Second},
	{apiKilled, 3, 1, 0, 0, 0, time.Second},
	{relayKilled, 3, 1, 0, 0, 0, time.Second},
	{processKilled, 0, 0, 13, 3, 0, time.Second},
	{redisKilled, 5, 1, 5, 1, 300 * time.Millisecond, 3 * time.Second},
	{redisWiped, 1, 1, 1, 1, 0, 1},
	{redisCut, 2, 1, 2, 1, 200 * time.Millisecond, 2 * time.Second},
	{redisSlow, 2, 1, 2, 1, time.Second, 3 * time.Second},
	{redisLossy, 2, 1, 2, 1, time.Second, 3 * time.Second},
	{ledgerCut, 2, 1, 0, 0, 200 * time.Millisecond, 2 * time.Second},
	{ledgerSlow, 2, 1, 0, 0, time.Second, 3 * time.Second},
	{ledgerLossy, 2, 1, 0, 0, time.Second, 3 * time.Second},
	{commitsLost, 3, 1, 0, 0, time.Second, 3 * time.Second},
	{apiLossy, 2, 1, 2, 1, time.Second, 3 * time.Second},
	{workerCut, 2, 0, 0, 0, 15 * time.Second, 18 * time.Second},
	{workerFrozen, 2, 0, 1, 0, 11 * time.Second, 14 * time.Second},
	{workerDead, 2, 0, 0, 0, 0, 1},
	{apiDead, 1, 0, 0, 0, 0, 1},
	{serverKilled, 2, 0, 0, 0, 300 * time.Millisecond, 2 * time.Second},
	{ledgerFull, 1, 1, 1, 1, 2 * time.Second, 4 * time.Second},
}

// fault is one entry of a schedule.
type fault struct {
	kind kind
	// pick chooses among the processes that it could hit.
	pick int
	// lasts is how long it goes on, or how long what was killed stays away.
	lasts time.Duration
	// calm has it wait until the jobs of workers that were hit before run again,
	// and the next fault until those of this one do, so that their recovery is
	// seen without another fault in between.
	calm bool
}

// schedule makes the list of faults from the seed.
func schedule(seed uint64, whole, short bool) []fault {
	rng := rand.New(rand.NewPCG(seed, 2))
	var out []fault
	for _, p := range plans {
		n := p.apart
		switch {
		case whole && short:
			n = p.oneShort
		case whole:
			n = p.whole
		case short:
			n = p.apartShort
		}
		for i := range n {
			lasts := p.least + time.Duration(rng.Int64N(int64(p.most-p.least)))
			if short {
				lasts = min(lasts, max(p.least, 1500*time.Millisecond))
			}
			out = append(out, fault{kind: p.kind, pick: rng.IntN(1 << 16), lasts: lasts, calm: (p.kind == workerKilled || p.kind == processKilled) && i%2 == 0})
		}
	}
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	// A ledger can only run full once there is something in it.
	for i := range len(out) / 2 {
		if out[i].kind == ledgerFull {
			out[i], out[len(out)-1-i] = out[len(out)-1-i], out[i]
		}
	}
	return out
}
