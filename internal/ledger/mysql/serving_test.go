package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"evalq/internal/ledger/mysql"
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

func submit(t *testing.T, db *mysql.DB, report int64) tasks.Job {
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
	s, err := sandbox.StartMariaDB(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	second = sqltest.MariaDB(t)
	u, err := url.Parse(second)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.Trim(u.Path, "/")
	own, err := s.CreateDatabase(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	admin = raw(t, own)
	password, _ := u.User.Password()
	exec(t, admin, fmt.Sprintf("ALTER USER %s@'127.0.0.1' IDENTIFIED BY '%s'", u.User.Username(), password))
	o, err := url.Parse(own)
	if err != nil {
		t.Fatal(err)
	}
	o.User = u.User
	return o.String(), second, raw(t, o.String())
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
	// The user of the test may write to a server that is read-only.
	exec(t, admin, "SET GLOBAL read_only = 1")
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
	if err := db.Ready(t.Context()); err != nil {
		t.Errorf("with a primary: %v", err)
	}
	if _, err := promoted.Get(t.Context(), submit(t, db, 8).ID); err != nil {
		t.Errorf("a submission went to the old primary: %v", err)
	}
}

func TestWhileThereIsNoPrimaryNothingIsReadAndReadinessSaysWhy(t *testing.T) {
	t.Parallel()
	first, _, admin := pair(t)
	db := open(t, first, nil)
	job := submit(t, db, 1)
	exec(t, admin, "SET GLOBAL read_only = 1")
	eventually(t, "reads are refused", func() bool {
		_, err := db.Get(t.Context(), job.ID)
		return errors.Is(err, tasks.ErrUnavailable) && strings.Contains(err.Error(), "read-only")
	})
	eventually(t, "readiness says why", func() bool {
		err := db.Ready(t.Context())
		return errors.Is(err, tasks.ErrUnavailable) && strings.Contains(err.Error(), "read-only")
	})
	if _, err := mysql.Open(t.Context(), first, true, nil); err == nil || !strings.Contains(err.Error(), "the server is read-only") {
		t.Errorf("a start: %v", err)
	}
	exec(t, admin, "SET GLOBAL read_only = 0")
	eventually(t, "it goes on", func() bool {
		_, err := db.Get(t.Context(), job.ID)
		return err == nil && db.Ready(t.Context()) == nil
	})
}

// notReady is what a member of a Galera cluster says when it was cut off.
const notReady = "WSREP has not yet prepared node for application use"

func TestReadersLeaveAMemberOfAClusterThatWasCutOffAtOnce(t *testing.T) {
	t.Parallel()
	direct := sqltest.MariaDB(t)
	p := sqltest.NewProxy(t, direct)
	var isolated atomic.Int64 // connections up to that number
	p.Answer = func(n int, said []byte) []byte {
		// A command is the first packet of its turn. A query of variables alone is
		// answered.
		if int64(n) > isolated.Load() || len(said) < 5 || said[3] != 0 || (said[4] != 3 && said[4] != 22 && said[4] != 23) || strings.HasPrefix(string(said[5:]), "SELECT CAST(@@") {
			return nil
		}
		body := append([]byte{0xff, 1047 & 0xff, 1047 >> 8}, "#08S01"+notReady...)
		return append([]byte{byte(len(body)), 0, 0, 1}, body...)
	}
	db := open(t, p.URL(t, direct), nil)
	job := submit(t, db, 1)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { _, _ = db.Look(t.Context()) })
	}
	all.Wait()
	isolated.Store(int64(p.Connections()))
	for n := range 20 {
		if _, err := db.Get(t.Context(), job.ID); err != nil {
			t.Fatalf("read %d: %v", n, err)
		}
	}
	if err := db.Ready(t.Context()); err != nil {
		t.Errorf("readiness: %v", err)
	}
	submit(t, db, 2)

	isolated.Store(1 << 40) // no member is left
	_, err := db.Get(t.Context(), job.ID)
	if !errors.Is(err, tasks.ErrUnavailable) || !strings.Contains(err.Error(), notReady) {
		t.Errorf("without any member: %v", err)
	}
	if err := db.Ready(t.Context()); !errors.Is(err, tasks.ErrUnavailable) || !strings.Contains(err.Error(), notReady) {
		t.Errorf("readiness without any member: %v", err)
	}
}
