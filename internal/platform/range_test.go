package platform_test

import (
	"slices"
	"testing"
)

func TestInterviewsAreFoundByRangesOfIDsWithEveryDigit(t *testing.T) {
	t.Parallel()
	each(t, func(w *world) {
		const edge = int64(1 << 53)
		for _, p := range [][2]int64{{7, 41}, {8, 42}, {7, edge + 1}, {7, edge + 2}, {edge + 1, 43}} {
			w.Record(p[1], p[0], "pending", long)
		}
		for _, c := range []struct {
			userLow, userHigh, reportLow, reportHigh int64
			limit                                    int
			want                                     [][2]int64
		}{
			{7, 7, edge, edge + 1, 9, [][2]int64{{7, edge + 1}}},
			{7, 7, edge, edge + 2, 9, [][2]int64{{7, edge + 1}, {7, edge + 2}}},
			{7, 7, 1, edge + 2, 1, [][2]int64{{7, 41}}},
			{edge, edge + 1, 43, 43, 9, [][2]int64{{edge + 1, 43}}},
			{9, 9, 1, edge, 9, nil},
		} {
			got, err := w.Interviews(w.Context(), c.userLow, c.userHigh, c.reportLow, c.reportHigh, c.limit)
			if err != nil || !slices.Equal(got, c.want) {
				w.Errorf("%+v: got %v, %v", c, got, err)
			}
		}
	})
}
