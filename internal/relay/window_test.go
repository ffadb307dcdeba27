package relay

import (
	"context"
	"slices"
	"testing"
	"time"

	"evalq/tasks"
)

// perUser is the window of a user while no worker is there and nothing drains.
const perUser = 8

func TestOneHeavyUserDoesNotBuryTheOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.acceptMany(1, 1, 500)
	late := w.accept(2, 1000)
	w.run(usual)
	w.awaitTask(late.TaskID(), "pending")
	if at := slices.Index(w.pending(), late.TaskID()); at < 0 || at > perUser {
		t.Errorf("the second user's only task is number %d in line", at)
	}
	another := w.accept(3, 2000)
	w.awaitTask(another.TaskID(), "pending")
	if at := slices.Index(w.pending(), another.TaskID()); at < 0 || at > perUser+1 {
		t.Errorf("the third user's only task is number %d in line", at)
	}
}

func TestUsersTakeTurnsInAsynqsLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for user := range int64(4) {
		w.acceptMany(user+1, user*100+1, 20)
	}
	r := w.relay(usual, Config{})
	r.pass(t.Context())
	line := w.pending()
	if len(line) != 4*perUser {
		t.Fatalf("%d tasks wait, want %d", len(line), 4*perUser)
	}
	for round := range perUser {
		seen := map[int64]bool{}
		for _, id := range line[round*4 : round*4+4] {
			job, _, err := tasks.ParseTaskID(id)
			w.must(err)
			seen[w.get(job).UserID] = true
		}
		if len(seen) != 4 {
			t.Errorf("round %d serves %d of four users", round, len(seen))
		}
	}
}

// passes lets the relay look n times, so far apart that its rates count.
func (w *world) passes(r *Relay, n int) {
	tick := time.NewTicker(60 * time.Millisecond)
	defer tick.Stop()
	for range n {
		<-tick.C
		r.pass(w.t.Context())
	}
}

func TestTheWindowOfAUserHoldsHoweverManyUsersWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const users = 12
	for user := range int64(users) {
		w.acceptMany(user+1, user*100+1, 60)
	}
	r := w.relay(usual, Config{})
	// Handing out is not draining: without a worker the window must not grow.
	w.passes(r, 15)
	got := w.pendingOf()
	for user := range int64(users) {
		if n := got[user+1]; n != perUser {
			t.Errorf("%d tasks of user %d wait in Redis, want %d", n, user+1, perUser)
		}
	}
	if rate := r.queues[tasks.Default].drain.perSecond(time.Now()); rate != 0 {
		t.Errorf("nothing has been run, and %.1f a second are said to drain", rate)
	}
}

func TestTheWindowOfAQueueHoldsInRedisAndIsRefilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for user := range int64(5) {
		w.acceptMany(user+1, user*100+1, 60)
	}
	const window = 12
	r := w.relay(usual, Config{Window: window})
	w.passes(r, 3)
	if n := len(w.pending()); n != window {
		t.Fatalf("%d tasks wait in Redis, want %d", n, window)
	}
	w.must(w.ledger.Join(t.Context(), tasks.Worker{ID: "w1", Slots: 1}))
	for _, id := range w.pending()[:5] {
		job, _, err := tasks.ParseTaskID(id)
		w.must(err)
		w.complete(w.begin(w.get(job), "w1"))
		w.must(w.insp.DeleteTask("default", id))
	}
	w.passes(r, 3)
	if n := len(w.pending()); n != window {
		t.Errorf("%d tasks wait in Redis after five have ended, want %d", n, window)
	}
	if rate := r.queues[tasks.Default].drain.perSecond(time.Now()); rate <= 0 || rate > 5/0.06 {
		t.Errorf("five jobs have ended, and %.1f a second are said to drain", rate)
	}
}

func TestTheWindowOfAUserGrowsWithTheSlots(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.acceptMany(1, 1, 60)
	w.must(w.ledger.Join(t.Context(), tasks.Worker{ID: "w1", Slots: 10}))
	w.relay(usual, Config{}).pass(t.Context())
	if n := len(w.pending()); n != 20 {
		t.Errorf("%d tasks wait for ten slots, want two a slot", n)
	}
}

func TestThreeQueuesHaveAWindowEach(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, p := range tasks.Priorities() {
		for n := range int64(20) {
			w.request(tasks.Request{Payload: tasks.Custom{Name: kind, UserID: 1, ReportID: int64(i)*100 + n + 1}, Priority: p})
		}
	}
	w.relay(usual, Config{}).pass(t.Context())
	for _, p := range tasks.Priorities() {
		if n := w.rdb.LLen(context.Background(), "asynq:{"+string(p)+"}:pending").Val(); n != perUser {
			t.Errorf("%d tasks wait in %s, want %d", n, p, perUser)
		}
	}
}

func TestFinishedTasksAreKeptForAShorterTimeWhenJobsFinishFast(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.relay(usual, Config{Finished: 1000})
	j := tasks.Job{Kind: kind, Priority: tasks.Default}
	for _, c := range []struct {
		rate float64
		want time.Duration
	}{{0, 24 * time.Hour}, {1, 24 * time.Hour}, {2, 500 * time.Second}, {10, 100 * time.Second}, {1e6, 10 * time.Second}} {
		r.queues[tasks.Default].drain = rate{value: c.rate, at: time.Now().Add(time.Hour)} // before which nothing decays
		if got := r.retention(j); got != c.want {
			t.Errorf("at %.0f a second: %s, want %s", c.rate, got, c.want)
		}
	}
	r.queues[tasks.Default].drain = rate{value: 10, at: time.Now().Add(time.Hour)}
	if got := r.retention(tasks.Job{Kind: kind, Priority: tasks.Low}); got != 24*time.Hour {
		t.Errorf("another queue's tasks are kept for %s", got)
	}
}
