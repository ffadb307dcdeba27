package bench

import (
	"testing"
	"time"
)

func TestMessagesMeasuresEachWayToPublish(t *testing.T) {
	t.Parallel()
	rows, err := Messages(t.Context(), &MessagesConfig{Length: 50 * time.Millisecond, Rounds: 2, Callers: []int{4}, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, r := range rows {
		names[r.Name] = true
		if r.Callers != 4 || r.Rate.Min <= 0 || r.Rate.Max < r.Rate.Median || r.P50 <= 0 || r.P99 < r.P50 || r.ToPublish == nil || r.ToPublish.Min <= 0 {
			t.Errorf("a row makes no sense: %+v", r)
		}
	}
	if len(names) != 4 || len(rows) != 4 {
		t.Errorf("the rows are of %v", names)
	}
}

func TestMessagesRefusesSettingsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	for _, cfg := range []MessagesConfig{{Length: -1}, {Rounds: -1}, {Callers: []int{0}}, {Callers: []int{2, 2}}} {
		if cfg.Check() == nil {
			t.Errorf("%+v passes", cfg)
		}
	}
}
