package ledger

import (
	"testing"
	"time"

	"evalq/tasks"
)

func TestTheWindowOfAKindGrowsWithWhatItsWorkersTakeAndNotWithWhatIsHandedOut(t *testing.T) {
	t.Parallel()
	const k tasks.Kind = "new_kind"
	var r kindRounds
	now := time.Now()
	queued := 0
	second := func(take int) int { // a second in which the window is filled and so many are taken
		t.Helper()
		size := r.size(tasks.Default, k, queued, 8, now)
		for ; queued < size; queued++ {
			r.gave(tasks.Default, k)
		}
		queued -= min(take, queued)
		now = now.Add(time.Second)
		return size
	}
	for range 10 {
		if size := second(0); size != 8 {
			t.Fatalf("with workers that take nothing it is %d", size)
		}
	}
	for range 20 {
		second(1_000_000)
	}
	if size := second(1_000_000); size != maxKindWindow {
		t.Fatalf("with fast workers it is %d", size)
	}
	for range 20 {
		second(1)
	}
	if size := second(1); size != 8 {
		t.Fatalf("with slow workers it is %d again", size)
	}
}
