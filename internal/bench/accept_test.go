package bench

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAcceptMeasuresALedgerAndTheSameOverHTTP(t *testing.T) {
	t.Parallel()
	var told []string
	got, err := Accept(t.Context(), &AcceptConfig{
		Length: 50 * time.Millisecond, Rounds: 2, Callers: []int{1, 4}, Ledgers: []string{"sqlite"}, Dir: t.TempDir(),
		Report: func(doing string) { told = append(told, doing) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Rows) != 4 || len(got.Notes) != 0 || len(told) != 5 {
		t.Fatalf("%d rows, notes %q, told %q", len(got.Rows), got.Notes, told)
	}
	for i, want := range []struct {
		name    string
		callers int
	}{{"SQLite", 1}, {"HTTP, SQLite", 1}, {"SQLite", 4}, {"HTTP, SQLite", 4}} {
		r := got.Rows[i]
		if r.Name != want.name || r.Callers != want.callers {
			t.Errorf("row %d is of %s with %d callers, want %v", i, r.Name, r.Callers, want)
		}
		if r.Rate.Min <= 0 || r.Rate.Median < r.Rate.Min || r.Rate.Max < r.Rate.Median || r.P50 <= 0 || r.P99 < r.P50 {
			t.Errorf("row %d makes no sense: %+v", i, r)
		}
		if r.ToRiver != nil || r.ToSQLite == nil || (i%2 == 0 && r.ToSQLite.Median != 1) {
			t.Errorf("row %d: to River %v, to SQLite %v", i, r.ToRiver, r.ToSQLite)
		}
	}
}

func TestAcceptOnPostgresSaysThatRiverIsLeftOut(t *testing.T) {
	t.Parallel()
	got, err := Accept(t.Context(), &AcceptConfig{
		Length: 50 * time.Millisecond, Rounds: 1, Callers: []int{8}, Ledgers: []string{"postgres"}, Dir: "",
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Rows) != 2 || got.Rows[0].Name != "PostgreSQL" || got.Rows[0].ToRiver != nil {
		t.Errorf("the rows are %+v", got.Rows)
	}
	if len(got.Notes) != 1 || !strings.Contains(got.Notes[0], "River") {
		t.Errorf("the notes are %q", got.Notes)
	}
}

func TestAcceptNamesTheSettingThatIsWrong(t *testing.T) {
	t.Parallel()
	for field, cfg := range map[string]AcceptConfig{
		"Length":                {Length: -time.Second},
		"Rounds":                {Rounds: -1},
		"Callers: must":         {Callers: []int{4, 0}},
		"Callers: a number":     {Callers: []int{4, 8, 4}},
		"Ledgers: \"oracle\"":   {Ledgers: []string{"oracle"}},
		"Ledgers: one is there": {Ledgers: []string{"sqlite", "sqlite"}},
	} {
		if _, err := Accept(t.Context(), &cfg); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

func TestLoadEndsAtTheFirstErrorAndSaysWhich(t *testing.T) {
	t.Parallel()
	full := errors.New("disk full")
	_, err := load(t.Context(), 4, time.Minute, func(ctx context.Context, caller, n int) error {
		if caller == 2 && n == 3 {
			return full
		}
		return ctx.Err()
	})
	if !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

func TestLoadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := load(ctx, 2, time.Minute, func(ctx context.Context, _, n int) error {
		if n == 5 {
			cancel()
		}
		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestFiguresOfARound(t *testing.T) {
	t.Parallel()
	s := sample{seconds: 2, micros: []float64{1000, 2000, 3000, 4000}}
	if s.rate() != 2 || s.quantile(0.5) != 3 || s.quantile(0.99) != 4 {
		t.Errorf("rate %v, p50 %v, p99 %v", s.rate(), s.quantile(0.5), s.quantile(0.99))
	}
	if got := spreadOf([]float64{9, 1, 4}); got != (Spread{Median: 4, Min: 1, Max: 9}) {
		t.Errorf("spread %+v", got)
	}
	if got := spreadOf([]float64{2, 4}); got.Median != 3 {
		t.Errorf("the median of two is %v", got.Median)
	}
	fast, slow := sample{1, make([]float64, 300)}, sample{1, make([]float64, 100)}
	if got := ratio([]sample{fast, slow}, []sample{slow, slow}); *got != (Spread{Median: 2, Min: 1, Max: 3}) {
		t.Errorf("ratio %+v", *got)
	}
}
