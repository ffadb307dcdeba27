package chaos

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver of PostgreSQL

	"evalq/internal/evaluation"
	"evalq/tasks"
)

// books reads what a ledger has on record, past the code that wrote it.
type books struct {
	db *sql.DB
}

// openBooks takes the URL of a server's database, or the path of a SQLite file.
func openBooks(ledger, place string) (*books, error) {
	db, err := openDatabase(ledger, place)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(4)
	if ledger == SQLite {
		// The file belongs to the node: look and let go.
		db.SetMaxIdleConns(-1)
	}
	return &books{db: db}, nil
}

func openDatabase(ledger, place string) (*sql.DB, error) {
	switch ledger {
	case Postgres:
		return sql.Open("pgx", place)
	case SQLite:
		return sql.Open("sqlite", "file:"+(&url.URL{Path: place}).EscapedPath()+"?_pragma=busy_timeout(10000)&_pragma=query_only(1)")
	}
	u, err := url.Parse(place)
	if err != nil {
		return nil, err
	}
	c := mysql.NewConfig()
	c.User, c.Net, c.Addr, c.DBName = u.User.Username(), "tcp", u.Host, strings.Trim(u.Path, "/")
	c.Passwd, _ = u.User.Password()
	c.Logger = &mysql.NopLogger{} // it would print what it also returns
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

func (b *books) close() error { return b.db.Close() }

// each reads rows with a function that scans one.
func (b *books) each(ctx context.Context, query string, row func(*sql.Rows) error) error {
	rows, err := b.db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// tally is how far the jobs are.
type tally struct {
	accepted, finished int
	running            map[int]int    // attempts at work, by process
	worker             map[int]string // the worker's id, by process
}

func (b *books) tally(ctx context.Context) (tally, error) {
	t := tally{running: map[int]int{}, worker: map[int]string{}}
	err := b.each(ctx, `SELECT state, count(*) FROM evalq_jobs GROUP BY state`, func(r *sql.Rows) error {
		var s tasks.State
		var n int
		err := r.Scan(&s, &n)
		t.accepted += n
		if s.Finished() {
			t.finished += n
		}
		return err
	})
	if err != nil {
		return t, err
	}
	err = b.each(ctx, `SELECT w.id, w.pid, count(j.seq) FROM evalq_workers w LEFT JOIN evalq_jobs j ON j.worker = w.id AND j.state = 'running'
		WHERE w.ended_at = 0 GROUP BY w.id, w.pid`, func(r *sql.Rows) error {
		var id string
		var pid, n int
		err := r.Scan(&id, &pid, &n)
		if n > 0 || t.worker[pid] == "" {
			t.worker[pid] = id
		}
		t.running[pid] += n
		return err
	})
	return t, err
}

// result is a stored result in short.
type result struct {
	attempt int
	hash    [sha256.Size]byte
}

// results reads those that were stored since then, in milliseconds, and answers
// when the newest was.
func (b *books) results(ctx context.Context, since int64, row func(job string, r result)) (newest int64, err error) {
	newest = since
	err = b.each(ctx, fmt.Sprintf(`SELECT job_id, attempt, judge, body, created_at FROM evalq_results WHERE created_at >= %d`, since), func(rows *sql.Rows) error {
		var job, judge string
		var r result
		var body []byte
		var at int64
		if err := rows.Scan(&job, &r.attempt, &judge, &body, &at); err != nil {
			return err
		}
		r.hash = sha256.Sum256(append([]byte(judge+"\n"), body...))
		row(job, r)
		newest = max(newest, at)
		return nil
	})
	return newest, err
}

// jobRow, attemptRow, eventRow and checkpointRow are what the verdict needs of
// the tables. Times are milliseconds.
type jobRow struct {
	id       string
	kind     tasks.Kind
	report   int64
	revision int
	state    tasks.State
	finished int64
}

type attemptRow struct {
	job               string
	number            int
	worker, outcome   string
	started, finished int64
}

type eventRow struct {
	job string
	at  int64
	to  tasks.State
	why string
}

type checkpointRow struct {
	report  int64
	name    string
	job     string
	attempt int
	done    int64
	call    int64  // whose answer it is
	input   string // that the answer was for
}

// record is all that a ledger says.
type record struct {
	jobs        map[string]jobRow
	attempts    []attemptRow
	events      []eventRow
	checkpoints []checkpointRow
	results     map[string][]result
}

func (b *books) read(ctx context.Context) (*record, error) {
	rec := &record{jobs: map[string]jobRow{}, results: map[string][]result{}}
	steps := []struct {
		query string
		row   func(*sql.Rows) error
	}{
		{`SELECT id, kind, report_id, revision, state, finished_at FROM evalq_jobs`, func(r *sql.Rows) error {
			var j jobRow
			err := r.Scan(&j.id, &j.kind, &j.report, &j.revision, &j.state, &j.finished)
			rec.jobs[j.id] = j
			return err
		}},
		{`SELECT job_id, number, worker, outcome, started_at, finished_at FROM evalq_attempts ORDER BY job_id, number`, func(r *sql.Rows) error {
			var a attemptRow
			err := r.Scan(&a.job, &a.number, &a.worker, &a.outcome, &a.started, &a.finished)
			rec.attempts = append(rec.attempts, a)
			return err
		}},
		{`SELECT job_id, at, to_state, why FROM evalq_events ORDER BY seq`, func(r *sql.Rows) error {
			var e eventRow
			err := r.Scan(&e.job, &e.at, &e.to, &e.why)
			rec.events = append(rec.events, e)
			return err
		}},
		{`SELECT scope, name, job_id, attempt, value, done_at FROM evalq_checkpoints`, func(r *sql.Rows) error {
			c, err := scanCheckpoint(r)
			rec.checkpoints = append(rec.checkpoints, c)
			return err
		}},
	}
	for _, s := range steps {
		if err := b.each(ctx, s.query, s.row); err != nil {
			return nil, fmt.Errorf("chaos: read the ledger: %w", err)
		}
	}
	_, err := b.results(ctx, 0, func(job string, r result) { rec.results[job] = append(rec.results[job], r) })
	if err != nil {
		return nil, fmt.Errorf("chaos: read the results: %w", err)
	}
	return rec, nil
}

func scanCheckpoint(r *sql.Rows) (checkpointRow, error) {
	var c checkpointRow
	var scope string
	var value []byte
	if err := r.Scan(&scope, &c.name, &c.job, &c.attempt, &value, &c.done); err != nil {
		return c, err
	}
	var user int64
	if _, err := fmt.Sscanf(scope, "report:%d:%d", &user, &c.report); err != nil {
		return c, fmt.Errorf("the scope %q of a checkpoint is of another form: %w", scope, err)
	}
	if c.done == 0 {
		return c, nil
	}
	var e evaluation.AnswerEvaluation
	if err := json.Unmarshal(value, &e); err != nil {
		return c, fmt.Errorf("a checkpoint of %s: %w", c.job, err)
	}
	c.call, c.input = e.Audit.Seed, e.Audit.InputSHA256
	return c, nil
}

// about is the database's own name and version.
func (b *books) about(ctx context.Context, ledger string) (string, error) {
	query := map[string]string{
		Postgres: `SELECT current_setting('server_version')`, MySQL: `SELECT version()`, SQLite: `SELECT sqlite_version()`,
	}[ledger]
	var v string
	if err := b.db.QueryRowContext(ctx, query).Scan(&v); err != nil {
		return "", err
	}
	v, _, _ = strings.Cut(v, " ")
	switch {
	case ledger == Postgres:
		return "PostgreSQL " + v, nil
	case ledger == SQLite:
		return "SQLite " + v, nil
	case strings.Contains(v, "MariaDB"):
		v, _, _ = strings.Cut(v, "-")
		return "MariaDB " + v, nil
	}
	return "MySQL " + v, nil
}
