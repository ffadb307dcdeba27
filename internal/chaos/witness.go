package chaos

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// witness remembers each result as it was when it was first seen, and tells how
// many jobs are finished.
type witness struct {
	books *books
	pace  func(finished int)
	mu    sync.Mutex
	first map[string]result
}

func newWitness(b *books, pace func(finished int)) *witness {
	return &witness{books: b, pace: pace, first: map[string]result{}}
}

// overlap is how far back each look goes, for results that were committed later
// than others of a later time.
const overlap = 30 * time.Second

func (w *witness) watch(ctx context.Context) {
	var newest int64
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		if t, err := w.books.tally(ctx); err == nil {
			w.pace(t.finished)
		}
		if n%5 != 0 {
			continue
		}
		// An error: the server is down for now.
		newest, _ = w.books.results(ctx, max(0, newest-overlap.Milliseconds()), func(job string, r result) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if _, ok := w.first[job]; !ok {
				w.first[job] = r
			}
		})
	}
}

func (w *witness) results() map[string]result {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.first
}

// leftBehind counts the jobs that have not gone on since a worker had them at that
// time.
func (b *books) leftBehind(ctx context.Context, worker string, at int64) (n int, err error) {
	// The id is evalq's own and has letters and digits only.
	err = b.db.QueryRowContext(ctx, fmt.Sprintf(`SELECT count(*) FROM evalq_jobs j JOIN evalq_attempts a ON a.job_id = j.id AND a.number = j.attempt
		WHERE a.worker = '%s' AND a.started_at <= %d
		AND (j.state = 'running' OR a.outcome = 'lost' AND j.state IN ('accepted', 'queued', 'retrying'))`, worker, at)).Scan(&n)
	return n, err
}
