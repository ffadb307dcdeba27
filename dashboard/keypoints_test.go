package dashboard

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestKeyPointLinesReadBackAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	word := rapid.StringMatching(`[a-zA-Z|;\\栈协 .]{1,12}`).Filter(func(s string) bool { return strings.TrimSpace(s) == s && s != "" })
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) keyPoint {
			return keyPoint{
				Text: word.Draw(t, "text"), Weight: float64(rapid.IntRange(1, 4000).Draw(t, "weight")) / 4,
				Aliases: rapid.SliceOfN(word, 0, 3).Draw(t, "aliases"),
			}
		}), 0, 5, func(p keyPoint) string { return p.Text }).Draw(t, "points")
		for i := range want {
			want[i].ID = "id" + string(rune('a'+i))
		}
		got, err := parsePoints(pointLines(want), want)
		if err != nil {
			t.Fatalf("%q: %v", pointLines(want), err)
		}
		if !slices.EqualFunc(got, want, func(a, b keyPoint) bool {
			return a.ID == b.ID && a.Text == b.Text && a.Weight == b.Weight && slices.Equal(a.Aliases, b.Aliases)
		}) {
			t.Fatalf("%q\ngives %+v\nwant %+v", pointLines(want), got, want)
		}
	})
}

func TestNewKeyPointsGetIDsThatNobodyHas(t *testing.T) {
	t.Parallel()
	old := []keyPoint{{ID: "p1", Text: "kept"}, {ID: "p2", Text: "removed"}}
	got, err := parsePoints("1 | new\n1 | kept\n1 | newer\n1 | kept", old)
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{got[0].ID, got[1].ID, got[2].ID, got[3].ID}
	if ids[1] != "p1" || len(slices.Compact(slices.Sorted(slices.Values(ids)))) != 4 {
		t.Errorf("ids %v: the kept point must be p1 and all must differ", ids)
	}
}
