package ledger

import (
	"strings"

	"evalq/tasks"
)

// ask is one request on its way into a commit, and its answer.
type ask struct {
	r       tasks.Request
	who     string
	key     naturalKey
	job     *job
	created bool
	err     error // its own, when the others of the same caller went on without it
}

// naturalKey is what all revisions of a job share.
type naturalKey struct {
	kind         tasks.Kind
	user, report int64
}

func newAsk(r tasks.Request, who string) *ask {
	return &ask{r: r, who: who, key: keyOf(r.Payload)}
}

// acceptTogether accepts the requests of a whole batch. Those whose job does not
// exist share statements; the others are looked at one by one, and new jobs of
// one caller have their seq in the order of the requests. When another process
// makes one of the jobs at the same moment, the unique key refuses ours, and the
// batch is repeated and finds it.
func (l *Ledger) acceptTogether(t *txn, ops []*write) error {
	if t.d.arrays {
		var err error
		if ops, err = l.acceptNew(t, ops); err != nil || len(ops) == 0 {
			return err
		}
	}
	var asks []*ask
	for _, op := range ops {
		asks = append(asks, op.asks...)
	}
	known, err := t.knownKeys(asks)
	if err != nil {
		return err
	}
	var fresh []*ask
	for _, a := range asks {
		if !known[a.key] {
			known[a.key] = true // a second request for it finds it
			a.job, a.created = l.newJob(a.r, 1), true
			fresh = append(fresh, a)
			continue
		}
		// What came before is there before this one is looked at.
		if err := l.insertAll(t, fresh); err != nil {
			return err
		}
		fresh = fresh[:0]
		if a.job, a.created, err = l.accept(t, a.r, a.who); err != nil {
			return err
		}
	}
	return l.insertAll(t, fresh)
}

// insertAll stores new jobs with the first event of their histories. Their seq
// is in their order.
func (l *Ledger) insertAll(t *txn, fresh []*ask) error {
	if len(fresh) == 0 {
		return nil
	}
	t.after = append(t.after, l.notices.wake)
	if err := t.insertRows("evalq_jobs", len(fresh), []series{
		texts("id", fresh, func(a *ask) string { return a.job.ID }),
		texts("kind", fresh, func(a *ask) tasks.Kind { return a.job.Kind }),
		numbers("user_id", fresh, func(a *ask) int64 { return a.job.UserID }),
		numbers("report_id", fresh, func(a *ask) int64 { return a.job.ReportID }),
		numbers("revision", fresh, func(a *ask) int64 { return int64(a.job.Revision) }),
		texts("queue", fresh, func(a *ask) tasks.Priority { return a.job.Priority }),
		texts("state", fresh, func(a *ask) tasks.State { return a.job.State }),
		numbers("budget", fresh, func(a *ask) int64 { return int64(a.job.Budget) }),
		numbers("accepted_at", fresh, func(a *ask) int64 { return ms(a.job.AcceptedAt) }),
		numbers("due_at", fresh, func(a *ask) int64 { return ms(a.job.DueAt) }),
		numbers("moved_at", fresh, func(a *ask) int64 { return a.job.movedAt }),
		texts("input_hash", fresh, func(a *ask) string { return a.job.InputHash }),
		blobs("data", fresh, (*ask).data),
	}); err != nil {
		return err
	}
	return t.insertRows("evalq_events", len(fresh), []series{
		texts("job_id", fresh, func(a *ask) string { return a.job.ID }),
		numbers("at", fresh, func(a *ask) int64 { return a.job.movedAt }),
		texts("from_state", fresh, func(*ask) tasks.State { return "" }),
		texts("to_state", fresh, func(a *ask) tasks.State { return a.job.State }),
		texts("who", fresh, func(a *ask) string { return a.who }),
		texts("why", fresh, func(*ask) string { return submitted }),
		texts("build", fresh, func(*ask) string { return l.cfg.Build }),
	})
}

// submitted is why a job begins.
const submitted = "submitted"

func (a *ask) data() []byte {
	if len(a.job.Data) == 0 {
		return nil
	}
	return a.job.Data
}

// newest is the look into the unique index for a natural key. The order names
// that index to a planner who believes the table to be empty, because it was
// when the statement was prepared.
const newest = `(SELECT j.seq FROM evalq_jobs j WHERE j.kind = a.kind AND j.user_id = a.user_id AND j.report_id = a.report_id ORDER BY j.revision DESC LIMIT 1)`

// knownKeys tells which of the jobs exist, in some revision. It locks nothing:
// who goes by it reads again or inserts.
func (t *txn) knownKeys(asks []*ask) (map[naturalKey]bool, error) {
	known := make(map[naturalKey]bool, len(asks))
	if t.d.arrays {
		from, args := unnest([]series{
			texts("kind", asks, func(a *ask) tasks.Kind { return a.key.kind }),
			numbers("user_id", asks, func(a *ask) int64 { return a.key.user }),
			numbers("report_id", asks, func(a *ask) int64 { return a.key.report }),
		})
		return known, t.addKeys(known, `SELECT a.kind, a.user_id, a.report_id FROM `+from+` AS a (kind, user_id, report_id) WHERE `+newest+` IS NOT NULL`, args)
	}
	const one = `(kind = ? AND user_id = ? AND report_id = ?)`
	for len(asks) > 0 {
		size := portion(len(asks))
		if t.d.OneOwner { // nothing to save: the database is in this process
			size = 1
		}
		args := make([]any, 0, 3*size)
		for _, a := range asks[:size] {
			args = append(args, a.key.kind, a.key.user, a.key.report)
		}
		if err := t.addKeys(known, `SELECT kind, user_id, report_id FROM evalq_jobs WHERE `+one+strings.Repeat(` OR `+one, size-1), args); err != nil {
			return nil, err
		}
		asks = asks[size:]
	}
	return known, nil
}

func (t *txn) addKeys(to map[naturalKey]bool, query string, args []any) error {
	rows, err := t.query(query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var k naturalKey
		if err := rows.Scan(&k.kind, &k.user, &k.report); err != nil {
			return unavailable("read", err)
		}
		to[k] = true
	}
	if err := rows.Err(); err != nil {
		return unavailable("read", err)
	}
	return nil
}
