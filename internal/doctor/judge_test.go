package doctor

import (
	"context"
	"strings"
	"testing"
)

func TestRoomOnTheDiskIsJudgedByItsSizeAndItsPart(t *testing.T) {
	t.Parallel()
	const gib = 1 << 30
	for _, c := range []struct {
		free, total int64
		want        Level
	}{
		{gib - 1, 2 * gib, Warning}, {gib, 2 * gib, OK}, {4 * gib, 100 * gib, Warning}, {5 * gib, 100 * gib, OK},
		{20 * gib, 10_000 * gib, OK}, {0, 0, Warning},
	} {
		f := judgeRoom(c.free, c.total)
		if f.Level != c.want || f.Level == Warning && f.Do == "" {
			t.Errorf("%d of %d: %+v, want a %s", c.free, c.total, f, c.want)
		}
	}
}

func TestAPanicInACheckIsAFinding(t *testing.T) {
	t.Parallel()
	v := &visit{cfg: (*Config)(nil).withDefaults()}
	found := v.make(t.Context(), check{name: "x", look: func(*visit, context.Context) ([]Finding, error) { panic("slip") }})
	if len(found) != 1 || found[0].Level != Warning || !strings.Contains(found[0].What, "slip") {
		t.Errorf("%+v", found)
	}
}

func TestFindingsAreOrderedAndCounted(t *testing.T) {
	t.Parallel()
	if s := Summary([]Finding{{Level: Warning}, {Level: Failure}, {Level: Warning}, {Level: Note}}); s != "1 failure, 2 warnings" {
		t.Error(s)
	}
	if s := Summary([]Finding{{Level: Note}, {Level: OK}}); s != "no warnings" {
		t.Error(s)
	}
	if l := Worst(nil); l != OK {
		t.Error(l)
	}
	for n, want := range map[int64]string{0: "0.0 KiB", 1536: "1.5 KiB", 5 << 20: "5.0 MiB", 3 << 40: "3.0 TiB", 5000 << 40: "5000.0 TiB"} {
		if got := size(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}
