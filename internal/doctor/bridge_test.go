package doctor_test

import (
	"sync"
	"testing"
	"time"

	"evalq/internal/doctor"
	"evalq/internal/ledger"
	"evalq/tasks"
)

func TestTheBridgeIsLookedAtChannelByChannel(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.Now()
	pass := func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(d)
	}
	s, db := onLedger(t, &ledger.Config{Now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}})
	count := func(c tasks.BridgeChannel) {
		t.Helper()
		c.Channel = "old:a"
		if err := db.CountBridge(t.Context(), []tasks.BridgeChannel{c}, -1); err != nil {
			t.Fatal(err)
		}
	}
	examine(t, s, nil).wantNothingOf("bridge")
	count(tasks.BridgeChannel{SeenAt: now})
	examine(t, s, nil).want("bridge", doctor.OK, `"old:a"`, "ever published")
	pass(3 * time.Hour)
	count(tasks.BridgeChannel{Received: 41, SeenAt: now})
	pass(5 * time.Second)
	examine(t, s, nil).want("bridge", doctor.Note, "still publish", "5s ago", "41 in all")
	pass(6 * time.Second)
	examine(t, s, nil).want("bridge", doctor.Warning, "no bridge is subscribed", "11s ago", "role bridge")
	s.Stopped = true
	examine(t, s, nil).want("bridge", doctor.Note, "while no server runs", "start `evalq serve`")
	s.Stopped = false
	count(tasks.BridgeChannel{Gaps: 1, GapMS: 61_000, Lost: 2, ShadowFound: 3, ShadowMissing: 4, SeenAt: now})
	e := examine(t, s, nil)
	e.want("bridge", doctor.Warning, "1 gap of 1m1s", "evalq backfill")
	found := map[doctor.Level]int{}
	for _, f := range e.found {
		if f.Check == "bridge" {
			found[f.Level]++
		}
	}
	if found[doctor.Note] != 3 || found[doctor.Warning] != 1 {
		t.Errorf("found %v:\n%s", found, e)
	}
	pass(25 * time.Hour)
	count(tasks.BridgeChannel{SeenAt: now})
	examine(t, s, nil).want("bridge", doctor.OK, "nothing was published on", "since")
	pass(8 * 24 * time.Hour)
	e = examine(t, s, nil)
	e.want("bridge", doctor.Note, "for a week")
	for _, f := range e.found {
		if f.Check == "bridge" && f.Level.AtLeast(doctor.Warning) {
			t.Errorf("a channel that nobody uses any more: %+v", f)
		}
	}
}
