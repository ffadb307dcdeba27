package bench

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// sample is one measurement.
type sample struct {
	seconds float64
	micros  []float64 // how long each call took, sorted
}

func (s sample) rate() float64 { return float64(len(s.micros)) / s.seconds }

// quantile answers in milliseconds.
func (s sample) quantile(q float64) float64 {
	return s.micros[min(int(q*float64(len(s.micros))), len(s.micros)-1)] / 1e3
}

// load lets callers call, each again when it has its answer, until length is
// over. It ends at the first error.
func load(ctx context.Context, callers int, length time.Duration, call func(ctx context.Context, caller, n int) error) (sample, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	took, errs := make([][]float64, callers), make([]error, callers)
	start := time.Now()
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for n, before := 0, start; before.Sub(start) < length && ctx.Err() == nil; n++ {
				if err := call(ctx, c, n); err != nil {
					errs[c] = err
					cancel()
					return
				}
				now := time.Now()
				took[c] = append(took[c], float64(now.Sub(before).Nanoseconds())/1e3)
				before = now
			}
		})
	}
	wg.Wait()
	s := sample{seconds: time.Since(start).Seconds(), micros: slices.Concat(took...)}
	slices.Sort(s.micros)
	if err := errors.Join(errs...); err != nil {
		return sample{}, firstOf(errs)
	}
	return s, context.Cause(ctx)
}

// firstOf leaves out the errors of those who were stopped by another's.
func firstOf(errs []error) error {
	var stopped error
	for _, err := range errs {
		switch {
		case err == nil:
		case errors.Is(err, context.Canceled):
			stopped = err
		default:
			return err
		}
	}
	return stopped
}
