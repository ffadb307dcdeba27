package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// AcceptConfig says what Accept measures. The zero value works.
type AcceptConfig struct {
	// Length is how long one measurement takes. Defaults to 2 s.
	Length time.Duration
	// Rounds is how often everything is measured, in turn, so that what else the
	// machine does meets all alike. Defaults to 5.
	Rounds int
	// Callers are the numbers of callers; each calls again when it has its
	// answer. None may be twice in it. Defaults to 1, 8 and 64.
	Callers []int
	// Ledgers are the databases. None may be twice in it. Defaults to
	// AcceptLedgers.
	Ledgers []string
	// Peers is the folder with the programs of other projects, which are built
	// with go build. Defaults to none, which leaves them out.
	Peers string
	// Dir is where databases are made and removed again. It should be on the disk
	// that is to be measured: one in memory syncs nothing. Defaults to the
	// system's folder for temporary files.
	Dir string
	// Report is told what is under way. Defaults to nobody.
	Report func(string)
}

// Check names the first setting that is wrong.
func (c *AcceptConfig) Check() error {
	_, err := c.withDefaults()
	return err
}

// AcceptLedgers lists the databases that Accept can measure.
func AcceptLedgers() []string { return []string{sqliteLedger, postgresLedger, mysqlLedger} }

const (
	sqliteLedger   = "sqlite"
	postgresLedger = "postgres"
	mysqlLedger    = "mysql"
)

func (c *AcceptConfig) withDefaults() (AcceptConfig, error) {
	var d AcceptConfig
	if c != nil {
		d = *c
	}
	if d.Length == 0 {
		d.Length = 2 * time.Second
	}
	if d.Rounds == 0 {
		d.Rounds = 5
	}
	if len(d.Callers) == 0 {
		d.Callers = []int{1, 8, 64}
	}
	if len(d.Ledgers) == 0 {
		d.Ledgers = AcceptLedgers()
	}
	if d.Report == nil {
		d.Report = func(string) {}
	}
	switch {
	case d.Length < 0:
		return d, fmt.Errorf("bench: accept: Length: %s is below zero", d.Length)
	case d.Rounds < 0:
		return d, fmt.Errorf("bench: accept: Rounds: %d is below zero", d.Rounds)
	case slices.Min(d.Callers) < 1:
		return d, errors.New("bench: accept: Callers: must be above zero")
	case repeats(d.Callers):
		return d, errors.New("bench: accept: Callers: a number is there twice")
	case repeats(d.Ledgers):
		return d, errors.New("bench: accept: Ledgers: one is there twice")
	}
	for _, l := range d.Ledgers {
		if !slices.Contains(AcceptLedgers(), l) {
			return d, fmt.Errorf("bench: accept: Ledgers: %.40q is none of %v", l, AcceptLedgers())
		}
	}
	return d, nil
}

func repeats[T cmp.Ordered](of []T) bool {
	s := slices.Sorted(slices.Values(of))
	return len(slices.Compact(s)) < len(of)
}

// AcceptRow is what one contender did with one number of callers.
type AcceptRow struct {
	Name    string `json:"name"`
	Callers int    `json:"callers"`
	Rate    Spread `json:"accepts_per_second"`
	// Half and most of the calls took no longer than that, in milliseconds; the
	// median of the rounds.
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	// ToRiver and ToSQLite compare with what those did in the same round.
	ToRiver  *Spread `json:"to_river,omitempty"`
	ToSQLite *Spread `json:"to_sqlite,omitempty"`
}

// Spread is a figure over the rounds.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func spreadOf(of []float64) Spread {
	s := slices.Sorted(slices.Values(of))
	return Spread{Median: (s[(len(s)-1)/2] + s[len(s)/2]) / 2, Min: s[0], Max: s[len(s)-1]}
}

// AcceptResult is the table, and what the reader has to know of it.
type AcceptResult struct {
	Rows  []AcceptRow `json:"rows"`
	Notes []string    `json:"notes,omitempty"`
}

// Accept measures how many evaluations a second are accepted, each on disk
// before its answer. It starts database servers of its own and removes them.
// Clients, servers and this process share the machine.
func Accept(ctx context.Context, cfg *AcceptConfig) (_ AcceptResult, err error) {
	c, err := cfg.withDefaults()
	if err != nil {
		return AcceptResult{}, err
	}
	w := &world{}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := w.open(ctx, c); err != nil {
		return AcceptResult{}, fmt.Errorf("bench: accept: %w", err)
	}
	taken, err := w.measure(ctx, c)
	if err != nil {
		return AcceptResult{}, fmt.Errorf("bench: accept: %w", err)
	}
	return AcceptResult{Rows: w.rows(c, taken), Notes: w.notes}, nil
}

// measured is what each contender did in each round with some callers.
type measured map[string]map[int][]sample

// measure lets the contenders take turns; every second round backwards, so that
// none has always the same one before it.
func (w *world) measure(ctx context.Context, c AcceptConfig) (measured, error) {
	taken := measured{}
	for _, t := range w.contenders {
		taken[t.name] = map[int][]sample{}
	}
	for round := range c.Rounds {
		turn := slices.Clone(w.contenders)
		if round%2 == 1 {
			slices.Reverse(turn)
		}
		for _, callers := range c.Callers {
			c.Report(fmt.Sprintf("round %d of %d, callers: %d", round+1, c.Rounds, callers))
			for _, t := range turn {
				s, err := t.run(ctx, callers, c.Length)
				if err == nil && len(s.micros) == 0 {
					err = errors.New("nothing was accepted; measure for longer")
				}
				if err != nil {
					return nil, fmt.Errorf("%s with %d callers: %w", t.name, callers, err)
				}
				taken[t.name][callers] = append(taken[t.name][callers], s)
			}
		}
	}
	return taken, nil
}

func (w *world) rows(c AcceptConfig, taken measured) []AcceptRow {
	var rows []AcceptRow
	for _, callers := range c.Callers {
		for _, t := range w.contenders {
			samples := taken[t.name][callers]
			rows = append(rows, AcceptRow{
				Name: t.name, Callers: callers,
				Rate:     spreadOf(each(samples, sample.rate)),
				P50:      spreadOf(each(samples, func(s sample) float64 { return s.quantile(0.5) })).Median,
				P99:      spreadOf(each(samples, func(s sample) float64 { return s.quantile(0.99) })).Median,
				ToRiver:  ratio(samples, taken[riverName][callers]),
				ToSQLite: ratio(samples, taken[sqliteName][callers]),
			})
		}
	}
	return rows
}

// ratio compares round by round, because a busy minute slows both.
func ratio(a, b []sample) *Spread {
	if len(b) == 0 {
		return nil
	}
	var of []float64
	for i := range a {
		of = append(of, a[i].rate()/b[i].rate())
	}
	s := spreadOf(of)
	return &s
}

func each(samples []sample, f func(sample) float64) []float64 {
	out := make([]float64, len(samples))
	for i, s := range samples {
		out[i] = f(s)
	}
	return out
}
