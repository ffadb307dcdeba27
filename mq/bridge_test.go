package mq

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"evalq/internal/redistest"
	"evalq/tasks"
)

func TestThreeBridgesMakeOneJobOfAMessageThatAllOfThemHear(t *testing.T) {
	t.Parallel()
	w := newBridgeWorld(t, nil)
	rs := []*bridgeRun{w.start(nil), w.start(nil), w.start(nil)}
	const reports = 1000
	w.publishMany(1, reports+1)
	for _, r := range rs {
		r.dealtWith(2 * reports)
	}
	w.wantOneJobEach(2 * reports)
	if c := sum(rs...); c.Received != 6*reports || c.Submitted != 2*reports || c.Existing != 4*reports {
		t.Fatalf("counted %+v", c)
	}
	for _, r := range rs {
		r.stop()
	}
	all, err := w.db.Bridge(t.Context())
	if err != nil || len(all) != 2 {
		t.Fatalf("the ledger has %+v, %v", all, err)
	}
	c := all[0].Plus(all[1])
	if c.Received != 6*reports || c.Submitted != 2*reports || c.Existing != 4*reports || all[0].Gaps != 0 || all[0].LastAt.IsZero() || all[0].SeenAt.IsZero() {
		t.Fatalf("the ledger counts %+v", all)
	}
}

func TestAMessageNeitherRevivesACancelledNorADeadJob(t *testing.T) {
	t.Parallel()
	w := newBridgeWorld(t, nil)
	j, _, err := w.db.Accept(t.Context(), tasks.Request{Payload: tasks.EvaluationReport{UserID: 7, ReportID: 42}}, "test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.db.Archive(t.Context(), j.ID, "op", ""); err != nil {
		t.Fatal(err)
	}
	r := w.start(nil)
	w.publish(old(MessageTypeEvaluationReport, 7, 42))
	r.dealtWith(1)
	if got, err := w.db.Get(t.Context(), j.ID); err != nil || got.State != tasks.Dead || sum(r).Existing != 1 {
		t.Fatalf("the dead job is %s, %v; counted %+v", got.State, err, sum(r))
	}
}

func TestTheForksPrefixIsHeardToo(t *testing.T) {
	t.Parallel()
	w := newBridgeWorld(t, nil)
	r := w.start(&BridgeConfig{Prefixes: []string{oldPrefix, "message_queue:"}})
	_, body := old(MessageTypeTopicEvaluation, 7, 42)
	w.publish("message_queue:topic_evaluation", body)
	w.publish("message_queue:no_such_type", body)
	w.publish(old(MessageTypeEvaluationReport, 7, 42))
	r.dealtWith(2)
	w.wantOneJobEach(2)
}

// PUBLISH says to how many it was delivered, so what the bridge has to have is
// known to the message.
func TestABridgeThatIsStoppedHasStoredAllThatWasDeliveredToIt(t *testing.T) {
	t.Parallel()
	w := newBridgeWorld(t, nil)
	r := w.start(nil)
	delivered, sent := int64(0), int64(0)
	stopped := make(chan struct{})
	for {
		sent++
		n := w.publish(old(MessageTypeEvaluationReport, 7, sent))
		if n == 0 {
			break
		}
		delivered += n
		if sent == 500 {
			go func() {
				defer close(stopped)
				r.stop()
			}()
		}
	}
	<-stopped
	if c := sum(r); delivered < 500 || c.Received != delivered || c.Submitted != delivered || c.Lost != 0 {
		t.Fatalf("%d were delivered; counted %+v", delivered, c)
	}
	w.wantOneJobEach(int(delivered))

	// Another one begins, and knows that nobody was there.
	next := w.start(nil)
	w.eventually("the ledger has a gap", func() bool {
		all, err := w.db.Bridge(t.Context())
		return err == nil && len(all) == 2 && all[0].Gaps == 1 && all[1].Gaps == 1
	})
	w.publish(old(MessageTypeEvaluationReport, 7, sent))
	next.dealtWith(1)
	w.wantOneJobEach(int(delivered) + 1)
}

func TestWhatIsDeliveredWhileTheConnectionIsCutAgainAndAgainBecomesOneJobEachAndGapsAreCounted(t *testing.T) {
	t.Parallel()
	w := newBridgeWorld(t, nil)
	proxy := redistest.NewProxy(t, w.redis)
	r := w.begin(proxy.Client(t), w.db, nil)
	r.ready()
	const reports = 2500
	cuts := int64(0)
	for at := int64(1); at <= reports; at += 250 {
		w.publishMany(at, at+250)
		if at%500 == 1 {
			proxy.Cut()
			cuts++
			w.eventually("the gap is counted", func() bool { return sum(r).Gaps == 2*cuts }) // on both channels
			r.ready()
		}
	}
	const last = reports + 100
	w.publishMany(reports+1, last+1)
	w.eventually("the last ones are jobs", func() bool {
		_, err := w.db.Find(t.Context(), tasks.KindTopicEvaluation, last%20+1, last)
		return err == nil
	})
	r.stop()
	c := sum(r)
	t.Logf("of %d messages %d were received; %d gaps of %v together", 2*last, c.Received, c.Gaps/2, c.Gap()/2)
	if c.Received != c.Submitted || c.Lost != 0 || c.GapMS < 0 {
		t.Fatalf("counted %+v", c)
	}
	w.wantOneJobEach(int(c.Received))
	all, err := w.db.Bridge(t.Context())
	if err != nil || all[0].Gaps != cuts || all[0].GapAt.IsZero() || all[0].Received+all[1].Received != c.Received {
		t.Fatalf("the ledger has %+v, %v", all, err)
	}
}

func TestAConnectionThatHasFallenSilentIsNoticedAndMadeAnew(t *testing.T) {
	t.Parallel()
	w := newBridgeWorld(t, nil)
	proxy := redistest.NewProxy(t, w.redis)
	r := w.begin(proxy.Client(t), w.db, nil, func(b *Bridge) { b.times.ping, b.times.dead = 30*time.Millisecond, 300*time.Millisecond })
	r.ready()
	w.publish(old(MessageTypeEvaluationReport, 7, 1))
	r.dealtWith(1)
	began := time.Now()
	w.eventually("a quiet connection is kept", func() bool { return r.Ready(t.Context()) != nil || time.Since(began) > time.Second })
	if c := sum(r); c.Gaps != 0 {
		t.Fatalf("a quiet channel was taken for a dead connection: %+v", c)
	}
	proxy.Silence(true)
	w.eventually("the bridge is not ready", func() bool { return r.Ready(t.Context()) != nil })
	proxy.Silence(false)
	r.ready()
	w.publish(old(MessageTypeEvaluationReport, 7, 2))
	r.dealtWith(2)
	if c := sum(r); c.Gaps != 2 || c.GapMS < 2*300 { // on both channels, from the beginning of the silence
		t.Fatalf("counted %+v", c)
	}
}

func TestARedisThatIsDownAtTheStartAndLaterIsTriedWithoutEnd(t *testing.T) {
	t.Parallel()
	w := newBridgeWorld(t, nil)
	w.redis.Stop()
	r := w.begin(w.rdb, w.db, nil)
	w.eventually("it says that it is not subscribed", func() bool { return strings.Contains(w.log.String(), "tries again without end") })
	if err := r.Ready(t.Context()); err == nil {
		t.Fatal("it is ready")
	}
	for report := range int64(3) {
		w.redis.Restart()
		r.ready()
		w.publish(old(MessageTypeEvaluationReport, 7, report+1))
		r.dealtWith(report + 1)
	}
	w.wantOneJobEach(3)
}

func TestASubscriptionThatIsRefusedIsAskedForAgain(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.WithTCP())
	w := newBridgeWorld(t, s)
	if err := w.rdb.Do(t.Context(), "ACL", "SETUSER", "old", "on", ">secret", "+@pubsub", "+@connection", "resetchannels").Err(); err != nil {
		t.Fatal(err)
	}
	weak := redis.NewClient(&redis.Options{Addr: s.Addr, Username: "old", Password: "secret"})
	defer weak.Close()
	r := w.begin(weak, w.db, nil)
	w.eventually("it says why", func() bool { err := r.Ready(t.Context()); return err != nil && strings.Contains(err.Error(), "NOPERM") })
	if err := w.rdb.Do(t.Context(), "ACL", "SETUSER", "old", "&interview:messages:*").Err(); err != nil {
		t.Fatal(err)
	}
	r.ready()
	w.publish(old(MessageTypeEvaluationReport, 7, 42))
	r.dealtWith(1)
}

func TestABridgeLivesWithoutTheClientThatItWasMadeFrom(t *testing.T) {
	t.Parallel()
	w := newBridgeWorld(t, nil)
	shared := w.redis.Client(t)
	r := w.begin(shared, w.db, nil)
	if err := shared.Close(); err != nil {
		t.Fatal(err)
	}
	r.ready()
	w.publish(old(MessageTypeEvaluationReport, 7, 42))
	r.dealtWith(1)
	if n := strings.Count(w.log.String(), "\n"); n > 10 {
		t.Errorf("%d lines are logged", n)
	}
}

func TestMessagesWaitInBoundedMemoryWhileTheLedgerIsAwayAndAreAllStoredAfterwards(t *testing.T) {
	t.Parallel()
	w := newBridgeWorld(t, nil)
	away := &faulty{BridgeLedger: w.db}
	r := w.begin(w.rdb, away, &BridgeConfig{Buffer: 100})
	r.ready()
	away.set(fmt.Errorf("ledger: begin: %w", tasks.ErrUnavailable))
	const reports = 2000
	w.publishMany(1, reports+1)
	w.publish(oldPrefix+string(MessageTypeEvaluationReport), "no JSON")
	w.eventually("it says that it cannot store", func() bool {
		err := r.Ready(t.Context())
		return err != nil && strings.Contains(err.Error(), "not stored")
	})
	w.eventually("the buffer is full", func() bool { return sum(r).Received > 100 })
	if c := sum(r); c.Received > 100+bridgeWorkers*bridgeBatch+1 || settled(c) != 0 {
		t.Fatalf("with a buffer of 100 it holds %+v", c)
	}
	away.set(fmt.Errorf("%w: cut off", tasks.ErrOutcomeUnknown))
	w.eventually("it asks again", func() bool {
		err := r.Ready(t.Context())
		return err != nil && strings.Contains(err.Error(), "cut off")
	})
	away.set(nil)
	r.dealtWith(2*reports + 1)
	r.ready()
	w.wantOneJobEach(2 * reports)
	if n := len(w.quarantine()); n != 1 {
		t.Fatalf("%d are set aside", n)
	}
	if n := strings.Count(w.log.String(), "kept and tried again"); n != 1 {
		t.Errorf("it says %d times that the ledger is away", n)
	}
}

func TestWhatCannotBeStoredBeforeTheEndIsCountedAsLostAndSaid(t *testing.T) {
	t.Parallel()
	w := newBridgeWorld(t, nil)
	away := &faulty{BridgeLedger: w.db}
	r := w.begin(w.rdb, away, &BridgeConfig{FlushTimeout: 50 * time.Millisecond})
	r.ready()
	away.set(tasks.ErrUnavailable)
	w.publishMany(1, 501)
	w.publish(oldPrefix+string(MessageTypeEvaluationReport), "no JSON")
	w.eventually("all are received", func() bool { return sum(r).Received == 1001 })
	began := time.Now()
	r.stop()
	if d := time.Since(began); d > 20*time.Second {
		t.Errorf("the stop took %v", d)
	}
	if c := sum(r); c.Lost != 1001 || settled(c) != 1001 {
		t.Fatalf("counted %+v", c)
	}
	if !strings.Contains(w.log.String(), "messages=1001") {
		t.Errorf("the log:\n%s", w.log)
	}
}

func TestAMessageThatALedgerRefusesDoesNotKeepTheOthersBack(t *testing.T) {
	t.Parallel()
	w := newBridgeWorld(t, nil)
	picky := &faulty{BridgeLedger: w.db, refuse: func(p tasks.Payload) error {
		if _, report := p.Subject(); report == 13 {
			return fmt.Errorf("no 13, please")
		}
		return nil
	}}
	r := w.begin(w.rdb, picky, nil)
	r.ready()
	w.publishMany(1, 101)
	r.dealtWith(200)
	w.wantOneJobEach(198)
	if aside := w.quarantine(); len(aside) != 2 || !strings.Contains(aside[0].Reason, "refused") {
		t.Fatalf("set aside: %+v", aside)
	}
}

func TestABridgeThatCannotWorkIsRefused(t *testing.T) {
	t.Parallel()
	w := newBridgeWorld(t, nil)
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}})
	defer cluster.Close()
	var none *redis.Client
	for _, c := range []struct {
		rdb    redis.UniversalClient
		ledger BridgeLedger
		cfg    *BridgeConfig
		says   string
	}{
		{nil, w.db, nil, "*redis.Client is needed"},
		{none, w.db, nil, "*redis.Client is needed"},
		{cluster, w.db, nil, "any of its nodes"},
		{w.rdb, nil, nil, "a ledger is needed"},
		{w.rdb, w.db, &BridgeConfig{Prefixes: []string{""}}, "Prefixes"},
		{w.rdb, w.db, &BridgeConfig{Prefixes: []string{"a:", "a:"}}, "twice"},
		{w.rdb, w.db, &BridgeConfig{Prefixes: []string{"a b"}}, "Prefixes"},
		{w.rdb, w.db, &BridgeConfig{Prefixes: []string{strings.Repeat("x", 101)}}, "Prefixes"},
		{w.rdb, w.db, &BridgeConfig{Buffer: -1}, "Buffer"},
		{w.rdb, w.db, &BridgeConfig{FlushTimeout: -1}, "FlushTimeout"},
	} {
		if _, err := NewBridge(c.rdb, c.ledger, c.cfg); err == nil || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "mq: bridge: ") {
			t.Errorf("%+v: %v, want %q", c.cfg, err, c.says)
		}
	}
	r := w.start(nil)
	if err := r.Run(t.Context()); err == nil {
		t.Error("it ran twice")
	}
}

func TestBridgesComeAndGoWithoutLeavingAnythingBehind(t *testing.T) {
	t.Parallel()
	w := newBridgeWorld(t, nil)
	before := runtime.NumGoroutine()
	var wg sync.WaitGroup
	for n := range 20 {
		wg.Go(func() {
			b, err := NewBridge(w.rdb, w.db, &BridgeConfig{Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Error(err)
				return
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n)*5*time.Millisecond)
			defer cancel()
			if err := b.Run(ctx); err != nil {
				t.Error(err)
			}
			if b.Ready(ctx) == nil {
				t.Error("it is ready after its end")
			}
		})
	}
	wg.Wait()
	t.Logf("%d goroutines before, %d after", before, runtime.NumGoroutine())
	clients, err := w.rdb.ClientList(t.Context()).Result()
	if err != nil || strings.Contains(clients, "sub=2") {
		t.Errorf("connections are left: %s, %v", clients, err)
	}
}
