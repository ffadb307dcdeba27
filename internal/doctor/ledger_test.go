package doctor_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"evalq/internal/doctor"
	"evalq/internal/ledger"
	"evalq/tasks"
)

func TestALedgerAsItShouldBeHasNoWarning(t *testing.T) {
	t.Parallel()
	s, _ := onLedger(t, nil)
	e := examine(t, s, &doctor.Config{Deep: true})
	if doctor.Worst(e.found).AtLeast(doctor.Warning) {
		t.Errorf("found:\n%s", e)
	}
	for _, check := range []string{"ledger", "ledger.version", "ledger.schema", "ledger.writable", "ledger.durability", "ledger.disk", "ledger.clock", "ledger.integrity", "quarantine", "jobs.dead"} {
		e.want(check, doctor.OK)
	}
	e.want("ledger.backup", doctor.Note, "evalq backup")
	e.wantNothingOf("relay") // its only process leads
	e.wantNothingOf("ledger.connections")
	if quick := examine(t, s, nil); len(quick.found) == 0 {
		t.Error("nothing was found")
	} else {
		quick.wantNothingOf("ledger.integrity")
	}
}

func TestAnOpenDoorIsNoted(t *testing.T) {
	t.Parallel()
	examine(t, doctor.Subject{Open: true}, nil).want("settings.tokens", doctor.Note, "EVALQ_OPERATOR_TOKEN")
	examine(t, doctor.Subject{}, nil).want("settings.tokens", doctor.OK)
	examine(t, doctor.Subject{Tokens: map[string]string{"EVALQ_OPERATOR_TOKEN": "passwordpasswordpassword"}}, nil).want("settings.tokens", doctor.Warning, "EVALQ_OPERATOR_TOKEN", "openssl")
	examine(t, doctor.Subject{Tokens: map[string]string{"EVALQ_OPERATOR_TOKEN": "f1c0a9e27b35d84466e0912ab7c3d5ef"}}, nil).want("settings.tokens", doctor.OK)
	examine(t, doctor.Subject{}, nil).want("settings.tls", doctor.OK)
	examine(t, doctor.Subject{Plain: []doctor.PlainPlace{{Setting: "--redis-url", Host: "h", Remedy: "write rediss://"}}}, nil).want("settings.tls", doctor.Note, "--redis-url", "rediss://")
	dir := t.TempDir()
	for mode, level := range map[os.FileMode]doctor.Level{0o700: doctor.OK, 0o755: doctor.Note} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		examine(t, doctor.Subject{Dir: dir}, nil).want("settings.folder", level)
	}
}

func TestALedgerThatCannotBeWrittenIsAFailure(t *testing.T) {
	t.Parallel()
	s, db := onLedger(t, nil)
	db.Ledger.Close() // reads go on
	e := examine(t, s, nil)
	e.want("ledger.writable", doctor.Failure, "nothing is accepted", "disk")
	e.want("quarantine", doctor.OK)
}

func TestWhoAsksAServerSaysSo(t *testing.T) {
	t.Parallel()
	s, _ := onLedger(t, nil)
	s.ReadyBy = "http://127.0.0.1:8080"
	examine(t, s, nil).want("ledger.writable", doctor.OK, "http://127.0.0.1:8080")
	s.Ready = func(context.Context) error { return errors.New("connection refused") }
	examine(t, s, nil).want("ledger.writable", doctor.Warning, "connection refused", "--listen")
	s.Ready = func(context.Context) error { return doctor.ErrNoCommit }
	examine(t, s, nil).want("ledger.writable", doctor.Failure, "http://127.0.0.1:8080", "nothing is accepted", "disk")
}

func TestWhyThereIsNoLedgerIsSaid(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "not", "yet")
	e := examine(t, doctor.Subject{Kind: doctor.SQLite, Dir: dir, LedgerErr: doctor.ErrNoLedger}, nil)
	e.want("ledger", doctor.Note, "evalq serve")
	e.want("ledger.disk", doctor.OK, "free")
	e = examine(t, doctor.Subject{Kind: doctor.SQLite, Dir: dir, LedgerErr: errors.New("damaged")}, nil)
	e.want("ledger", doctor.Failure, "damaged", "backup")
	e.wantNothingOf("ledger.schema")
	e = examine(t, doctor.Subject{Kind: doctor.Postgres, LedgerErr: errors.New("refused")}, nil)
	e.want("ledger", doctor.Failure, "refused", "--ledger-url")
}

func TestWhatCouldNotBeReadIsAWarningUntilItIsSettled(t *testing.T) {
	t.Parallel()
	s, db := onLedger(t, nil)
	ctx := t.Context()
	if err := db.Quarantine(ctx, tasks.Quarantined{Source: "asynq", Queue: "low", TaskID: "x", Reason: "no JSON"}, []byte("secret answer")); err != nil {
		t.Fatal(err)
	}
	e := examine(t, s, nil)
	e.want("quarantine", doctor.Warning, "1 thing", "/quarantine")
	entries, _, err := db.InQuarantine(ctx, false, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Settle(ctx, entries[0].ID, "me", "sent again"); err != nil {
		t.Fatal(err)
	}
	examine(t, s, nil).want("quarantine", doctor.OK)
}

// clock is a time of day that a test sets forward.
func clock() (now func() time.Time, pass func(time.Duration)) {
	var ahead atomic.Int64
	return func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }, func(d time.Duration) { ahead.Add(int64(d)) }
}

func TestJobsThatWaitForNobodyAndWorkersThatFellSilentAreFound(t *testing.T) {
	t.Parallel()
	now, pass := clock()
	s, db := onLedger(t, &ledger.Config{Now: now})
	ctx := t.Context()
	examine(t, s, nil).want("workers", doctor.Note, "no worker is alive", "role worker")
	if _, _, err := db.Accept(ctx, tasks.Request{Payload: tasks.EvaluationReport{UserID: 7, ReportID: 1}}, "test"); err != nil {
		t.Fatal(err)
	}
	examine(t, s, nil).want("workers", doctor.Warning, "no worker is alive; waiting: 1 job", "role worker")

	stopped := s
	stopped.Stopped = true
	examine(t, stopped, nil).want("workers", doctor.Note, "no server runs on this ledger; waiting: 1 job", "evalq serve")

	for id, build := range map[string]string{"w1": "v1", "w2": "v2"} {
		if err := db.Join(ctx, tasks.Worker{ID: id, Host: "host", PID: 5, Build: build, Slots: 4}); err != nil {
			t.Fatal(err)
		}
	}
	e := examine(t, s, nil)
	e.want("workers", doctor.OK, "2 workers with 8 slots", "1 job")
	e.want("workers.beats", doctor.OK)
	e.want("workers.builds", doctor.Note, "v1, v2")

	pass(11 * time.Second)
	if err := db.Beat(ctx, "w2", false); err != nil {
		t.Fatal(err)
	}
	e = examine(t, s, nil)
	e.want("workers", doctor.OK, "1 worker with 4 slots")
	e.want("workers.beats", doctor.Warning, "silent: 1 worker", "w1", "11s")
	e.want("workers.builds", doctor.OK, "v2")
	e = examine(t, s, &doctor.Config{Start: true}) // nobody can have begun yet
	e.wantNothingOf("workers")
	e.wantNothingOf("workers.beats")

	if err := db.Leave(ctx, "w1"); err != nil {
		t.Fatal(err)
	}
	examine(t, s, nil).want("workers.beats", doctor.OK)
}

func TestAKindThatJobsWaitForAndNoWorkerHandlesIsAWarning(t *testing.T) {
	t.Parallel()
	now, pass := clock()
	s, db := onLedger(t, &ledger.Config{Now: now})
	ctx := t.Context()
	examine(t, s, nil).want("workers.kinds", doctor.OK)
	if err := db.Join(ctx, tasks.Worker{ID: "old", Host: "host", Slots: 4, Kinds: tasks.Kinds()}); err != nil {
		t.Fatal(err)
	}
	for report := range int64(2) {
		if _, _, err := db.Accept(ctx, tasks.Request{Payload: tasks.Custom{Name: "new_kind", UserID: 7, ReportID: report + 1}}, "test"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.Feed(ctx, tasks.Default, ledger.Window{PerUser: 8, Total: 8}); err != nil {
		t.Fatal(err)
	}
	pass(time.Hour)
	examine(t, s, nil).want("workers.kinds", doctor.Warning, `"new_kind"`, "2 jobs", "1h0m0s", "handler")
	s.Stopped = true
	examine(t, s, nil).want("workers.kinds", doctor.Note, "2 jobs")
}

func TestDeadJobsAreNoted(t *testing.T) {
	t.Parallel()
	s, db := onLedger(t, nil)
	ctx := t.Context()
	job, _, err := db.Accept(ctx, tasks.Request{Payload: tasks.EvaluationReport{UserID: 7, ReportID: 1}}, "test")
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Join(ctx, tasks.Worker{ID: "w1", Slots: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Feed(ctx, job.Priority, ledger.Window{PerUser: 8, Total: 8}); err != nil {
		t.Fatal(err)
	}
	claim, err := db.Begin(ctx, tasks.Delivery{Job: job.ID, Number: 1, Worker: "w1"})
	if err != nil {
		t.Fatal(err)
	}
	f := tasks.Fence{Job: job.ID, Attempt: claim.Job.Attempt, Worker: "w1"}
	if _, err := db.Fail(ctx, f, tasks.Trouble{Failure: tasks.Failure{Class: tasks.ClassInvalidPayload, Message: "m"}}); err != nil {
		t.Fatal(err)
	}
	examine(t, s, nil).want("jobs.dead", doctor.Note, "1 dead job", "evalq retry")
}

func TestALongLogOfWritesIsNoted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	wal := filepath.Join(dir, "l.db-wal")
	if err := os.WriteFile(wal, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(wal, 600<<20); err != nil { // takes no room
		t.Fatal(err)
	}
	s := doctor.Subject{Kind: doctor.SQLite, Dir: dir, Database: settings{"file": filepath.Join(dir, "l.db")}}
	e := examine(t, s, nil)
	e.want("ledger.disk", doctor.Note, "600.0 MiB", "restart")
	if err := os.Truncate(wal, 1<<20); err != nil {
		t.Fatal(err)
	}
	e = examine(t, s, nil)
	e.want("ledger.disk", doctor.OK)
}

// settings is a database that says of itself what no database here does.
type settings map[string]string

func (s settings) Settings(context.Context) (map[string]string, error) { return s, nil }
func (s settings) Schema(context.Context) (have, want int64, err error) {
	return int64(len(s["have"])), 3, nil
}

func TestWhatADatabaseSaysOfItselfIsJudged(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind  string
		says  settings
		check string
		level doctor.Level
		words []string
	}{
		{doctor.Postgres, settings{"server_version": "11.22", "server_version_num": "110022"}, "ledger.version", doctor.Failure, []string{"11.22", "12 or newer", "upgrade"}},
		{doctor.Postgres, settings{"server_version": "12.0", "server_version_num": "120000"}, "ledger.version", doctor.OK, nil},
		{doctor.Postgres, settings{"fsync": "on", "full_page_writes": "off"}, "ledger.durability", doctor.Failure, []string{"full_page_writes", "ALTER SYSTEM"}},
		{doctor.Postgres, settings{"fsync": "on", "full_page_writes": "on", "standby": "on"}, "ledger.durability", doctor.Failure, []string{"standby", "--ledger-url"}},
		{doctor.MySQL, settings{"version": "5.7.44"}, "ledger.version", doctor.Failure, []string{"MySQL 5.7.44", "8.0 or newer"}},
		{doctor.MySQL, settings{"version": "8.0.36-0ubuntu0.22.04.1"}, "ledger.version", doctor.OK, []string{"MySQL"}},
		{doctor.MySQL, settings{"version": "10.5.23-MariaDB-0+deb11u1"}, "ledger.version", doctor.Failure, []string{"MariaDB", "10.6 or newer"}},
		{doctor.MySQL, settings{"version": "10.6.0-MariaDB"}, "ledger.version", doctor.OK, nil},
		{doctor.MySQL, settings{"version": "11.4.2-MariaDB"}, "ledger.version", doctor.OK, nil},
		{doctor.MySQL, settings{"version": "my own"}, "ledger.version", doctor.Warning, []string{"my own"}},
		{doctor.MySQL, settings{"connections": "80", "max_connections": "100"}, "ledger.connections", doctor.Warning, []string{"80 of 100", "max_connections"}},
		{doctor.MySQL, settings{"connections": "79", "max_connections": "100"}, "ledger.connections", doctor.OK, nil},
		{doctor.MySQL, settings{"have": ""}, "ledger.schema", doctor.Note, []string{"evalq serve"}},
		{doctor.MySQL, settings{"have": "12"}, "ledger.schema", doctor.Warning, []string{"version 2", "3", "backup", "evalq serve"}},
		{doctor.MySQL, settings{"have": "123"}, "ledger.schema", doctor.OK, nil},
		{doctor.MySQL, settings{"have": "1234"}, "ledger.schema", doctor.Failure, []string{"version 4", "newer"}},
	} {
		s := doctor.Subject{Kind: c.kind, Database: c.says}
		examine(t, s, nil).want(c.check, c.level, c.words...)
	}
}

// blind is a ledger whose jobs cannot be counted in time.
type blind struct{ doctor.Ledger }

func (blind) Overview(context.Context) (tasks.Overview, error) {
	return tasks.Overview{}, errors.New("too many")
}

func TestJobsThatCannotBeCountedAreOneFinding(t *testing.T) {
	t.Parallel()
	s, db := onLedger(t, nil)
	s.Ledger = blind{db.Ledger}
	e := examine(t, s, nil)
	e.want("jobs.dead", doctor.Warning, "too many", "ask again")
	for _, check := range []string{"workers", "workers.beats", "workers.builds"} {
		e.wantNothingOf(check)
	}
}
