package client_test

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"evalq/client"
	"evalq/internal/redistest"
	"evalq/tasks"
)

var (
	wanted    = tasks.EvaluationReport{UserID: 7, ReportID: 42}
	noContext context.Context // a nil context that the linter does not see
)

// calls are all methods of a Client.
func calls(c *client.Client, ctx context.Context) map[string]func() error {
	const id = "0123456789abcdefghjkmnpq"
	return map[string]func() error{
		"submit":      func() error { _, err := c.Submit(ctx, wanted); return err },
		"submit many": func() error { _, err := c.SubmitMany(ctx, []tasks.Request{{Payload: wanted}}); return err },
		"submit none": func() error { _, err := c.SubmitMany(ctx, nil); return err },
		"submit tx":   func() error { _, err := c.SubmitTx(ctx, (*sql.Tx)(nil), wanted); return err },
		"get":         func() error { _, err := c.Get(ctx, id); return err },
		"find":        func() error { _, err := c.Find(ctx, wanted.Kind(), 7, 42); return err },
		"wait":        func() error { _, err := c.Wait(ctx, id); return err },
		"list":        func() error { _, err := c.List(ctx, tasks.Filter{}); return err },
		"all": func() (last error) {
			for _, err := range c.All(ctx, tasks.Filter{}) {
				last = err
			}
			return last
		},
		"retry":      func() error { _, err := c.Retry(ctx, id, ""); return err },
		"cancel":     func() error { _, err := c.Cancel(ctx, id, ""); return err },
		"attempts":   func() error { _, err := c.Attempts(ctx, id); return err },
		"events":     func() error { _, err := c.Events(ctx, id); return err },
		"put":        func() error { _, err := c.PutInterview(ctx, 1, nil); return err },
		"report":     func() error { _, err := c.Report(ctx, 1); return err },
		"purge":      func() error { _, err := c.Purge(ctx, time.Time{}, true); return err },
		"erase":      func() error { _, err := c.Erase(ctx, 1, true); return err },
		"backfill":   func() error { _, err := c.Backfill(ctx, tasks.Backfill{}); return err },
		"backup":     func() error { _, err := c.Backup(ctx, io.Discard); return err },
		"quarantine": func() error { _, _, err := c.Quarantine(ctx, true); return err },
		"replay":     func() error { _, err := c.Replay(ctx, 1, 0, 0); return err },
		"discard":    func() error { return c.Discard(ctx, 1) },
	}
}

// sides are a client of each kind of URL. Nothing listens at the first.
func sides(t *testing.T) map[string]*client.Client {
	t.Helper()
	_, pg := postgresql.served(t)
	_, maria := mariadb.served(t)
	all := map[string]*client.Client{}
	for name, url := range map[string]string{"http": "http://127.0.0.1:1", "redis": redistest.Start(t).URL, "postgres": pg, "mysql": maria} {
		all[name] = open(t, url, &client.Config{Timeout: time.Hour})
	}
	return all
}

func TestAClientThatIsNilZeroClosedOrWithoutAContextAnswersWithAnError(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]*client.Client{"nil": nil, "zero": {}} {
		for name, do := range calls(c, t.Context()) {
			if err := do(); err == nil {
				t.Errorf("%s, %s client: no error", name, what)
			}
		}
		if err := errors.Join(c.Close(), c.Close()); err != nil {
			t.Errorf("%s client: close: %v", what, err)
		}
	}
	var invalid *tasks.InvalidError
	for side, c := range sides(t) {
		for name, do := range calls(c, noContext) {
			if err := do(); !errors.As(err, &invalid) {
				t.Errorf("%s, %s, without a context: %v", name, side, err)
			}
		}
		if err := errors.Join(c.Close(), c.Close()); err != nil {
			t.Errorf("%s: close: %v", side, err)
		}
		for name, do := range calls(c, t.Context()) {
			if err := do(); !errors.Is(err, client.ErrClosed) {
				t.Errorf("%s, %s, after Close: %v", name, side, err)
			}
		}
	}
	for _, url := range []string{"http://127.0.0.1:1", "redis://127.0.0.1:1", "postgres://127.0.0.1:1/x", ""} {
		if _, err := client.Open(noContext, url, nil); err == nil {
			t.Errorf("%s was opened without a context", url)
		}
	}
}

func TestWhatIsUnderWayWhenAClientIsClosedEndsWithThatError(t *testing.T) {
	t.Parallel()
	c := open(t, "http://127.0.0.1:1", &client.Config{Timeout: time.Hour}) // which would repeat for so long
	all := calls(c, t.Context())
	delete(all, "submit tx")
	delete(all, "submit none")
	delete(all, "put") // what it puts is no JSON
	delete(all, "backup")
	var under sync.WaitGroup
	for name, do := range all {
		under.Go(func() {
			if err := do(); !errors.Is(err, client.ErrClosed) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	var closing sync.WaitGroup
	for range 4 {
		closing.Go(func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	closing.Wait()
	under.Wait()
}

func TestANilOptionPayloadWriterOrTransactionIsRefused(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	var invalid *tasks.InvalidError
	for side, c := range sides(t) {
		for what, do := range map[string]func() error{
			"a nil option":              func() error { _, err := c.Submit(ctx, wanted, nil); return err },
			"a nil option among others": func() error { _, err := c.Submit(ctx, wanted, client.WithPriority("low"), nil); return err },
			"no payload":                func() error { _, err := c.Submit(ctx, nil); return err },
			"a nil payload":             func() error { _, err := c.Submit(ctx, (*tasks.Custom)(nil)); return err },
			"a zero payload":            func() error { _, err := c.Submit(ctx, tasks.Custom{}); return err },
		} {
			if err := do(); !errors.As(err, &invalid) {
				t.Errorf("%s, %s: %v", side, what, err)
			}
		}
		got, _ := c.SubmitMany(ctx, []tasks.Request{{}, {Payload: (*tasks.EvaluationReport)(nil)}})
		if len(got) != 2 || !errors.As(got[0].Err, &invalid) || !errors.As(got[1].Err, &invalid) {
			t.Errorf("%s: zero requests: %+v", side, got)
		}
		if side == "postgres" || side == "mysql" {
			for what, tx := range map[string]client.Tx{"nil": nil, "*sql.Tx": (*sql.Tx)(nil), "*sql.DB": (*sql.DB)(nil), "pgx": client.PgxTx(nil), "*pgxpool": client.PgxTx((pgx.Tx)(nil))} {
				if _, err := c.SubmitTx(ctx, tx, wanted); !errors.Is(err, client.ErrNoTransaction) {
					t.Errorf("%s, a nil %s: %v", side, what, err)
				}
			}
			if _, err := c.SubmitTx(ctx, &sql.Tx{}, wanted, nil); !errors.As(err, &invalid) {
				t.Errorf("%s, a nil option in a transaction: %v", side, err)
			}
		}
		if side == "http" {
			if _, err := c.Backup(ctx, nil); !errors.As(err, &invalid) {
				t.Errorf("a backup to nowhere: %v", err)
			}
		}
	}
	if _, err := client.Open(ctx, strings.Repeat("x", 10), nil); err == nil {
		t.Error("a URL without a scheme was opened")
	}
}
