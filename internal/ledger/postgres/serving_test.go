package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"evalq/internal/ledger/postgres"
	"evalq/internal/sandbox"
	"evalq/internal/sqltest"
	"evalq/tasks"
)

// eventually waits for what a busy machine may take long for.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("in two minutes it did not happen that %s", what)
		case <-look.C:
		}
	}
}

func submit(t *testing.T, db *postgres.DB, report int64) tasks.Job {
	t.Helper()
	job, _, err := db.Accept(t.Context(), tasks.Request{Payload: tasks.NewPayload(tasks.KindEvaluationReport, 1, report, nil), Priority: tasks.Default}, "test")
	if err != nil {
		t.Fatal(err)
	}
	return job
}

func exec(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(context.Background(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// pair is two servers that a proxy stands before. Both know the same user.
func pair(t *testing.T) (first, second string, admin *sql.DB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	s, err := sandbox.StartPostgres(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	second = sqltest.Postgres(t)
	u, err := url.Parse(second)
	if err != nil {
		t.Fatal(err)
	}
	own, err := s.CreateDatabase(ctx, strings.Trim(u.Path, "/"))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	exec(t, raw(t, own), fmt.Sprintf("ALTER USER %s PASSWORD '%s'", u.User.Username(), password))
	o, err := url.Parse(own)
	if err != nil {
		t.Fatal(err)
	}
	o.User = u.User
	return o.String(), second, raw(t, o.String())
}

// demote has each transaction of a server read only, as one that recovers has it.
func demote(t *testing.T, admin *sql.DB) {
	exec(t, admin, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
}

func TestAProcessThatOnlyReadsLeavesAServerThatWasDemotedBehindAProxy(t *testing.T) {
	t.Parallel()
	first, second, admin := pair(t)
	p := sqltest.NewProxy(t, first)
	db := open(t, p.URL(t, first), nil)
	promoted := open(t, second, nil)
	var all sync.WaitGroup
	for range 8 { // as many as the pool has
		all.Go(func() { _, _ = db.Look(t.Context()) })
	}
	all.Wait()
	demote(t, admin)
	p.Point(t, second)
	job := submit(t, promoted, 7)
	eventually(t, "reads find what the new primary has", func() bool {
		for range 8 {
			if _, err := db.Get(t.Context(), job.ID); err != nil {
				return false
			}
		}
		return true
	})
	eventually(t, "it is ready", func() bool { return db.Ready(t.Context()) == nil })
	if _, err := promoted.Get(t.Context(), submit(t, db, 8).ID); err != nil {
		t.Errorf("a submission went to the old primary: %v", err)
	}
}

func TestWhileThereIsNoPrimaryNothingIsReadAndReadinessSaysWhy(t *testing.T) {
	t.Parallel()
	first, _, admin := pair(t)
	db := open(t, first, nil)
	job := submit(t, db, 1)
	demote(t, admin)
	eventually(t, "reads are refused", func() bool {
		_, err := db.Get(t.Context(), job.ID)
		return errors.Is(err, tasks.ErrUnavailable) && strings.Contains(err.Error(), "read-only")
	})
	eventually(t, "readiness says why", func() bool {
		err := db.Ready(t.Context())
		return errors.Is(err, tasks.ErrUnavailable) && strings.Contains(err.Error(), "read-only")
	})
	if _, err := postgres.Open(t.Context(), first, true, nil); err == nil || !strings.Contains(err.Error(), "the server is read-only") {
		t.Errorf("a start: %v", err)
	}
}
