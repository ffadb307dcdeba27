package tasks_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"evalq/tasks"
)

// next lists the states that s may move to.
func next(s tasks.State) []tasks.State {
	var out []tasks.State
	for _, to := range tasks.States() {
		if s.CanMove(to) {
			out = append(out, to)
		}
	}
	return out
}

// reach lists the states that can be reached from s, without going on from the
// states that stop refuses to pass.
func reach(s tasks.State, stop func(tasks.State) bool) map[tasks.State]bool {
	seen, todo := map[tasks.State]bool{s: true}, []tasks.State{s}
	for len(todo) > 0 {
		at := todo[0]
		todo = todo[1:]
		if at != s && stop(at) {
			continue
		}
		for _, to := range next(at) {
			if !seen[to] {
				seen[to] = true
				todo = append(todo, to)
			}
		}
	}
	return seen
}

func TestEachStateIsReachedFromAccepted(t *testing.T) {
	t.Parallel()
	got := reach(tasks.Accepted, func(tasks.State) bool { return false })
	for _, s := range tasks.States() {
		if !got[s] {
			t.Errorf("no way leads to %s", s)
		}
	}
	if len(tasks.States()) != 9 || len(got) != 9 {
		t.Errorf("%d states listed, %d reached, want nine", len(tasks.States()), len(got))
	}
}

func TestSuccessAndSkipAreFinal(t *testing.T) {
	t.Parallel()
	for _, s := range []tasks.State{tasks.Succeeded, tasks.Skipped} {
		if out := next(s); len(out) != 0 || !s.Finished() {
			t.Errorf("%s: finished %v, may move to %v", s, s.Finished(), out)
		}
	}
}

func TestAFinishedJobMovesOnlyByRevival(t *testing.T) {
	t.Parallel()
	for _, s := range []tasks.State{tasks.Dead, tasks.Cancelled} {
		if out := next(s); !s.Finished() || !slices.Equal(out, []tasks.State{tasks.Accepted}) {
			t.Errorf("%s: finished %v, may move to %v, want accepted alone", s, s.Finished(), out)
		}
	}
}

func TestAnUnfinishedJobCanSucceedAndCanBeStopped(t *testing.T) {
	t.Parallel()
	for _, s := range tasks.States() {
		if s.Finished() {
			continue
		}
		ways := reach(s, tasks.State.Finished)
		for _, end := range []tasks.State{tasks.Succeeded, tasks.Skipped, tasks.Dead, tasks.Cancelled} {
			if !ways[end] {
				t.Errorf("from %s no way leads to %s", s, end)
			}
		}
		if !s.CanMove(tasks.Cancelled) {
			t.Errorf("a job that is %s cannot be cancelled", s)
		}
	}
}

func TestOnlyARunningJobGetsAResult(t *testing.T) {
	t.Parallel()
	for _, s := range tasks.States() {
		for _, to := range []tasks.State{tasks.Succeeded, tasks.Skipped, tasks.Retrying} {
			if got, want := s.CanMove(to), s == tasks.Running; got != want {
				t.Errorf("%s to %s: %v, want %v", s, to, got, want)
			}
		}
		if got, want := s.CanMove(tasks.Running), s == tasks.Queued || s == tasks.Retrying; got != want {
			t.Errorf("%s to running: %v, want %v", s, got, want)
		}
		if got, want := s.CanMove(tasks.Queued), s == tasks.Accepted; got != want {
			t.Errorf("%s to queued: %v, want %v", s, got, want)
		}
	}
}

func TestUnknownStatesMoveNowhere(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		unknown := rapid.OneOf(rapid.Just(""), rapid.Just("Running"), rapid.Just("running "), rapid.String()).
			Filter(func(s string) bool { return !slices.Contains(tasks.States(), tasks.State(s)) })
		s := tasks.State(unknown.Draw(t, "state"))
		if s.Valid() || s.Finished() || s.CanMove(s) {
			t.Fatalf("%q: valid %v, finished %v, moves to itself %v", s, s.Valid(), s.Finished(), s.CanMove(s))
		}
		for _, known := range tasks.States() {
			if s.CanMove(known) || known.CanMove(s) {
				t.Fatalf("%q and %s are joined by a move", s, known)
			}
		}
	})
}

func TestRandomWalksNeverLeaveAnEndByThemselves(t *testing.T) {
	t.Parallel()
	ends := map[tasks.State]bool{}
	rapid.Check(t, func(t *rapid.T) {
		s := tasks.Accepted
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			ways := next(s)
			if len(ways) == 0 {
				break
			}
			to := rapid.SampledFrom(ways).Draw(t, "to")
			if !to.Valid() || to == s {
				t.Fatalf("a move from %s to %s", s, to)
			}
			if s.Finished() && to != tasks.Accepted {
				t.Fatalf("%s went on to %s", s, to)
			}
			s = to
		}
		if len(next(s)) == 0 {
			if s != tasks.Succeeded && s != tasks.Skipped {
				t.Fatalf("stuck at %s", s)
			}
			ends[s] = true
		}
	})
	if len(ends) != 2 {
		t.Errorf("the walks ended only at %v", ends)
	}
}
