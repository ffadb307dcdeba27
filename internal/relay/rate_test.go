package relay

import (
	"math"
	"testing"
	"testing/synctest"
	"time"
)

func TestARateApproachesWhatIsAddedEachSecondAndDecays(t *testing.T) {
	t.Parallel()
	var r rate
	now := time.Unix(0, 0)
	r.tick(now)
	if got := r.perSecond(now); got != 0 {
		t.Errorf("at the start: %f", got)
	}
	last := 0.0
	for range 300 { // 30 s at 50 a second
		r.add(5)
		now = now.Add(100 * time.Millisecond)
		r.tick(now)
		if got := r.perSecond(now); got < last || got > 50.001 {
			t.Fatalf("%f after %f, on the way to 50", got, last)
		}
		last = r.perSecond(now)
	}
	if math.Abs(last-50) > 0.1 {
		t.Errorf("after 30 s at 50 a second: %f", last)
	}
	later := now.Add(memory)
	unseen := r.perSecond(later)
	r.tick(later)
	for _, got := range []float64{unseen, r.perSecond(later)} {
		if want := last / math.E; math.Abs(got-want) > 0.01 {
			t.Errorf("one time constant later: %f, want %f", got, want)
		}
	}
	if got := r.perSecond(now.Add(time.Hour)); got > 1e-9 {
		t.Errorf("an hour later: %g", got)
	}
}

// TestARateSpreadsALateCountOverTheTimeItTook: a queue is counted only when it
// is fed, which may be long after its tasks have left.
func TestARateSpreadsALateCountOverTheTimeItTook(t *testing.T) {
	t.Parallel()
	var r rate
	now := time.Unix(0, 0)
	r.tick(now)
	r.add(20_000)
	now = now.Add(20 * time.Second)
	r.tick(now)
	if got := r.perSecond(now); got < 990 || got > 1000 {
		t.Errorf("20,000 in 20 s are %f a second", got)
	}
}

func TestARateLosesNothingBetweenTwoCloseTicks(t *testing.T) {
	t.Parallel()
	var often, seldom rate
	now := time.Unix(0, 0)
	often.tick(now)
	seldom.tick(now)
	for i := range 100 {
		now = now.Add(time.Millisecond)
		often.add(3)
		seldom.add(3)
		often.tick(now)
		if (i+1)%50 == 0 {
			seldom.tick(now)
		}
	}
	if often.perSecond(now) != seldom.perSecond(now) || often.perSecond(now) == 0 {
		t.Errorf("%f with close ticks, %f without", often.perSecond(now), seldom.perSecond(now))
	}
}

func TestABackoffDoublesUpToItsLastStepAndStartsAfresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b backoff
		if !b.ready() {
			t.Fatal("not ready before the first failure")
		}
		for round := range 2 {
			for _, step := range []time.Duration{200, 400, 800, 1600, 3200, 5000, 5000} {
				step *= time.Millisecond
				wait := b.fail()
				if wait < step/2 || wait >= step {
					t.Fatalf("round %d: waits %s, want %s to %s", round, wait, step/2, step)
				}
				if b.ready() {
					t.Fatal("ready at once")
				}
				time.Sleep(wait - 1) // the bubble's clock
				if b.ready() {
					t.Fatal("ready too early")
				}
				time.Sleep(1)
				if !b.ready() {
					t.Fatal("not ready in time")
				}
			}
			b.succeed()
		}
	})
}
