package client_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"evalq/client"
	"evalq/internal/ledger/postgres"
	"evalq/internal/redistest"
	"evalq/internal/relay"
	"evalq/internal/sandbox"
	"evalq/tasks"
	"evalq/worker"
)

func TestALedgerThatIsNotThereOrNotOfThisVersionIsRefused(t *testing.T) {
	t.Parallel()
	for _, d := range []database{postgresql, mariadb} {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			empty := d.fresh(t)
			refuses(t, empty, client.ErrOlderLedger)
			// It has made nothing, so it is still not there.
			refuses(t, empty, client.ErrOlderLedger)
			_, url := d.served(t)
			db := handle(t, url)
			for _, c := range []struct {
				change string
				want   error
			}{
				{"INSERT INTO evalq_schema (version_id, is_applied) VALUES (99999, true)", client.ErrNewerLedger},
				{"DELETE FROM evalq_schema WHERE version_id > 1", client.ErrOlderLedger},
			} {
				if _, err := db.ExecContext(t.Context(), c.change); err != nil {
					t.Fatal(err)
				}
				refuses(t, url, c.want)
			}
		})
	}
}

func refuses(t *testing.T, url string, want error) {
	t.Helper()
	c, err := client.Open(t.Context(), url, nil)
	if err == nil {
		c.Close()
	}
	if !errors.Is(err, want) || !strings.Contains(err.Error(), "evalq") {
		t.Errorf("%v, want %v", err, want)
	}
}

func TestActsThroughTheDatabaseAreOnTheAuditLog(t *testing.T) {
	t.Parallel()
	for _, d := range []database{postgresql, mariadb} {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			l, url := d.served(t)
			ctx := t.Context()
			named, plain := open(t, url, &client.Config{Name: "shop"}), open(t, url, nil)
			job := must(named.Submit(ctx, report(1)))(t)
			must(named.Cancel(ctx, job.ID, "no need"))(t)
			must(plain.Retry(ctx, job.ID, ""))(t)
			log := must(l.AuditLog(ctx, 10))(t)
			if len(log) != 2 || log[1].Who != "client:shop" || log[1].Action != "job.cancel" || log[1].Target != job.ID || log[1].Detail != "no need" ||
				log[0].Who != "client" || log[0].Action != "job.retry" {
				t.Errorf("%+v", log)
			}
		})
	}
}

// heard is a channel that gets something whenever a relay in another process
// would be woken.
func heard(t *testing.T, url string) <-chan struct{} {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	woken, done := make(chan struct{}, 1000), make(chan error, 1)
	go func() { done <- postgres.Listen(ctx, url, func() { woken <- struct{}{} }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	hears(t, woken)
	return woken
}

func hears(t *testing.T, woken <-chan struct{}) {
	t.Helper()
	select {
	case <-woken:
	case <-time.After(20 * time.Second):
		t.Fatal("nobody was woken")
	}
}

func TestASubmissionToPostgreSQLWakesARelayInAnotherProcess(t *testing.T) {
	t.Parallel()
	_, url := postgresql.served(t)
	woken := heard(t, url)
	c := open(t, url, nil)
	if _, err := c.Submit(t.Context(), report(1)); err != nil {
		t.Fatal(err)
	}
	hears(t, woken)
	last, err := client.Open(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := last.SubmitMany(t.Context(), []tasks.Request{{Payload: report(2)}}); err != nil {
		t.Fatal(err)
	}
	if err := last.Close(); err != nil { // a program that submits and ends tells it all the same
		t.Fatal(err)
	}
	hears(t, woken)
}

// servers are databases that a test may kill.
var servers = map[string]func(context.Context, *sandbox.Config) (*sandbox.Server, error){
	"PostgreSQL": sandbox.StartPostgres, "MariaDB": sandbox.StartMariaDB,
}

func TestASubmissionOutlivesADatabaseThatRestarts(t *testing.T) {
	t.Parallel()
	for name, start := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := start(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
			_, db, err := serverLedger(t.Context(), s.URL())
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			var repeated atomic.Int32
			c := open(t, s.URL(), &client.Config{Timeout: time.Minute, Logger: slog.New(counter{slog.DiscardHandler, &repeated})})
			hasty := open(t, s.URL(), &client.Config{Timeout: 300 * time.Millisecond, FailFast: true})
			before := must(c.Submit(t.Context(), report(1)))(t)
			if err := s.Kill(); err != nil {
				t.Fatal(err)
			}
			if _, err := hasty.Submit(t.Context(), report(3)); !errors.Is(err, tasks.ErrUnavailable) && !errors.Is(err, tasks.ErrOutcomeUnknown) {
				t.Errorf("submit while it is away: %v", err)
			}
			if _, err := hasty.Get(t.Context(), before.ID); !errors.Is(err, tasks.ErrUnavailable) {
				t.Errorf("get while it is away: %v", err)
			}
			many, err := hasty.SubmitMany(t.Context(), []tasks.Request{{Payload: report(4)}, {}, {Payload: report(5)}})
			var invalid *tasks.InvalidError
			if err == nil || !errors.Is(many[0].Err, errorKind(err)) || !errors.As(many[1].Err, &invalid) || !errors.Is(many[2].Err, errorKind(err)) {
				t.Errorf("submit many while it is away: %v, %+v", err, many)
			}
			submitted := make(chan outcome, 1)
			go func() {
				j, err := c.Submit(t.Context(), report(2))
				submitted <- outcome{j, err}
			}()
			eventually(t, "the submission is repeated", func() bool { return repeated.Load() > 0 })
			if err := s.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := <-submitted
			if got.err != nil {
				t.Fatal(got.err)
			}
			for _, want := range []tasks.Job{before, got.job} {
				if j, err := c.Get(t.Context(), want.ID); err != nil || j.ID != want.ID {
					t.Errorf("%+v %v", j, err)
				}
			}
		})
	}
}

// errorKind is what callers may ask about err.
func errorKind(err error) error {
	for _, kind := range []error{tasks.ErrUnavailable, tasks.ErrOutcomeUnknown} {
		if errors.Is(err, kind) {
			return kind
		}
	}
	return err
}

func TestFailFastGivesUpAtOnceOnADatabaseWhereNothingListens(t *testing.T) {
	t.Parallel()
	s, err := sandbox.StartPostgres(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	_, db, err := serverLedger(t.Context(), s.URL())
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	c := open(t, s.URL(), &client.Config{Timeout: time.Minute, FailFast: true})
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	_, err = c.List(t.Context(), tasks.Filter{})
	if took := time.Since(begin); !errors.Is(err, tasks.ErrUnavailable) || took > 20*time.Second {
		t.Errorf("%v after %s", err, took)
	}
}

func TestACommittedTransactionIsEvaluatedOnceAndARolledBackOneNever(t *testing.T) {
	throughEach(t, usual, func(t *testing.T, s shop) {
		rdb := redistest.Start(t).Client(t)
		quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
		r, err := relay.New(s.server, rdb, &relay.Config{Logger: quiet})
		s.must(err)
		var mu sync.Mutex
		ran := map[int64]int{}
		w, err := worker.New(rdb, s.server, &worker.Config{Slots: 2, Logger: quiet, Handlers: map[tasks.Kind]worker.Handler{
			"own": func(_ context.Context, j tasks.Job) (json.RawMessage, error) {
				mu.Lock()
				defer mu.Unlock()
				ran[j.ReportID]++
				return j.Data, nil
			},
		}})
		s.must(err)
		background(t, r.Run)
		background(t, w.Run)
		var ids []string
		for n := int64(1); n <= 6; n++ {
			tx := s.begin()
			s.exec(tx, "INSERT INTO orders VALUES (1)")
			j, err := s.SubmitTx(s.ctx, tx, tasks.Custom{Name: "own", UserID: 7, ReportID: n, Data: json.RawMessage(`{"k":1}`)})
			s.must(err)
			if n%2 == 0 {
				s.must(tx.rollback())
				continue
			}
			s.must(tx.commit())
			ids = append(ids, j.ID)
		}
		for _, id := range ids {
			j, err := s.Wait(s.ctx, id)
			s.must(err)
			if j.State != tasks.Succeeded || string(j.Result) != `{"k":1}` {
				t.Errorf("%+v", j)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		if len(ran) != 3 || ran[1] != 1 || ran[3] != 1 || ran[5] != 1 {
			t.Errorf("evaluated %v", ran)
		}
		if n := s.count(handle(t, s.url), "orders"); n != 3 {
			t.Errorf("%d orders with 3 evaluations", n)
		}
	})
}

// background runs f until the test ends, and waits for it.
func background(t *testing.T, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("background: %v", err)
		}
	})
}

var _ client.Tx = (*sql.Tx)(nil)
