package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// struck is a fault that was carried out, or could not be.
type struck struct {
	fault
	at     int64            // milliseconds since 1970
	worker string           // the worker that it hit alone, or empty
	target string           // in words
	dead   map[string]int64 // workers that earlier faults had ended, and when
	note   string
	undone string // why it was not carried out
}

// prey are the nodes of which a fault hits one.
var prey = map[kind]string{
	workerKilled: "worker", apiKilled: "api", relayKilled: "relay", processKilled: whole,
	workerCut: "worker", workerFrozen: "worker", workerDead: "worker", apiDead: "api",
}

// strike carries a fault out and returns when it is over. It hits work that is
// running: the caller has seen to that.
func (w *world) strike(ctx context.Context, f fault, t tally, n *node) (struck, error) {
	s := struck{fault: f, at: time.Now().UnixMilli(), target: string(f.kind)}
	if n != nil {
		s.target += ": " + n.name
		s.worker = t.worker[n.pid()]
	}
	err := w.carryOut(ctx, &s, n)
	if err != nil && ctx.Err() != nil {
		return s, context.Cause(ctx)
	}
	if err != nil && f.kind == ledgerFull {
		s.undone = err.Error()
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("chaos: %s: %w", s.target, err)
	}
	return s, nil
}

func (w *world) carryOut(ctx context.Context, s *struck, n *node) error {
	switch s.kind {
	case workerKilled, apiKilled, relayKilled, processKilled:
		return n.kill(s.lasts)
	case workerFrozen:
		return errors.Join(n.signal(freeze), pause(ctx, s.lasts), n.signal(thaw))
	case workerCut:
		return w.during(ctx, s.lasts, weather{silent: true}, n.ledger)
	case workerDead, apiDead:
		n.ledger.deaden()
		return nil
	case redisKilled:
		return errors.Join(w.redis.Kill(), pause(ctx, s.lasts), w.redis.Restart(ctx))
	case serverKilled:
		return errors.Join(w.server.Kill(), pause(ctx, s.lasts), w.server.Restart(ctx))
	case redisWiped:
		return w.direct.FlushAll(ctx).Err()
	case redisCut:
		return w.during(ctx, s.lasts, weather{refuse: true}, w.proxies(toRedis)...)
	case ledgerCut:
		return w.during(ctx, s.lasts, weather{refuse: true}, w.proxies(toLedger)...)
	case redisSlow:
		return w.during(ctx, s.lasts, weather{delay: slow(s.pick)}, w.proxies(toRedis)...)
	case ledgerSlow:
		return w.during(ctx, s.lasts, weather{delay: slow(s.pick)}, w.proxies(toLedger)...)
	case ledgerFull:
		refused, err := w.fillUp(ctx, s.lasts)
		s.note = fmt.Sprintf("%d trial writes refused", refused)
		return err
	}
	return w.lossy(ctx, s)
}

// lossy swallows replies.
func (w *world) lossy(ctx context.Context, s *struck) error {
	side, how := toRedis, weather{lose: 0.1}
	switch s.kind {
	case ledgerLossy:
		side, how = toLedger, weather{lose: 0.03}
	case commitsLost:
		side, how = toLedger, weather{lose: 0.3, commits: true}
	case apiLossy:
		side, how = toAPI, weather{lose: 0.5}
	case redisLossy:
	default:
		return errors.New("nobody knows how to do that")
	}
	all := w.proxies(side)
	before := lost(all)
	err := w.during(ctx, s.lasts, how, all...)
	s.note = fmt.Sprintf("%d replies lost", lost(all)-before)
	return err
}

func lost(all []*proxy) int64 {
	var n int64
	for _, p := range all {
		n += p.lost.Load()
	}
	return n
}

// slow is a delay of 20 to 150 ms.
func slow(pick int) time.Duration { return time.Duration(20+pick%131) * time.Millisecond }

// side is what proxies stand before.
type side func(*node) *proxy

var (
	toRedis  side = func(n *node) *proxy { return n.redis }
	toLedger side = func(n *node) *proxy { return n.ledger }
	toAPI    side = func(n *node) *proxy { return n.api }
)

func (w *world) proxies(s side) []*proxy {
	var out []*proxy
	for _, n := range w.nodes {
		if p := s(n); p != nil {
			out = append(out, p)
		}
	}
	return out
}

// during changes the weather of proxies for a while.
func (w *world) during(ctx context.Context, d time.Duration, bad weather, all ...*proxy) error {
	for _, p := range all {
		p.set(bad)
	}
	err := pause(ctx, d)
	for _, p := range all {
		p.set(weather{})
	}
	return err
}

// pause waits, unless the experiment is broken off.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
