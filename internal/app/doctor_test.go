package app

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"evalq/internal/config"
	"evalq/internal/doctor"
	"evalq/internal/platform/platformtest"
	"evalq/internal/redistest"
	"evalq/internal/sandbox"
)

// at is the level of a check, empty when it found nothing.
func at(found []doctor.Finding, check string) (doctor.Level, string) {
	for _, f := range found {
		if f.Check == check {
			return f.Level, f.What + " -> " + f.Do
		}
	}
	return "", ""
}

// wantLevels compares the levels of some checks.
func wantLevels(t *testing.T, found []doctor.Finding, want map[string]doctor.Level) {
	t.Helper()
	for check, l := range want {
		if got, text := at(found, check); got != l {
			t.Errorf("%s is %q, want %q: %s", check, got, l, text)
		}
	}
}

func TestTheDoctorLooksAtWhatARunningServerUses(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.WithAOF())
	cfg := settings(t, func(c *config.Config) { c.Engine, c.RedisURL = config.EngineRedis, s.URL })
	a := start(t, cfg, Extras{})
	cfg.Listen = a.listener.Addr().String()
	rdb := s.Client(t)
	deadline := time.Now().Add(30 * time.Second)
	for rdb.Exists(t.Context(), "evalq:epoch").Val() == 0 && time.Now().Before(deadline) {
		call(t, "GET", a.URL()+"/v1/evaluations/"+strings.Repeat("0", 24)+"?wait=1s", "")
	}
	found := Doctor(t.Context(), cfg, true, quiet())
	wantLevels(t, found, map[string]doctor.Level{
		"redis": doctor.OK, "queues.epoch": doctor.OK, "ledger": doctor.OK, "ledger.schema": doctor.OK, "ledger.writable": doctor.OK,
		"ledger.integrity": doctor.OK, "workers": doctor.OK, "settings.tokens": doctor.Note,
	})
	if doctor.Worst(found).AtLeast(doctor.Warning) {
		t.Errorf("found %+v", found)
	}
	if _, text := at(found, "ledger.writable"); !strings.Contains(text, a.URL()) {
		t.Errorf("it does not say whom it asked: %s", text)
	}
	cfg.Listen = "127.0.0.1:1" // nobody is there
	wantLevels(t, Doctor(t.Context(), cfg, false, quiet()), map[string]doctor.Level{"ledger.writable": doctor.Warning})
}

func TestTheDoctorLooksWhereNothingRunsAndMakesNothing(t *testing.T) {
	t.Parallel()
	cfg := settings(t, func(c *config.Config) { c.DataDir = filepath.Join(c.DataDir, "none") })
	found := Doctor(t.Context(), cfg, true, quiet())
	wantLevels(t, found, map[string]doctor.Level{"redis": doctor.Note, "ledger": doctor.Note, "ledger.disk": doctor.OK, "ledger.schema": ""})
	if _, err := os.Stat(cfg.DataDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is there: %v", err)
	}
	a, err := Open(t.Context(), cfg, Extras{}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	wantLevels(t, Doctor(t.Context(), cfg, false, quiet()), map[string]doctor.Level{"ledger": doctor.OK, "ledger.writable": doctor.OK, "workers": doctor.Note})
	if err := os.WriteFile(filepath.Join(cfg.DataDir, "evalq.db"), bytes.Repeat([]byte("x"), 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	wantLevels(t, Doctor(t.Context(), cfg, false, quiet()), map[string]doctor.Level{"ledger": doctor.Failure, "ledger.schema": ""})
}

func TestTheDoctorTellsThatARunningServerCannotCommit(t *testing.T) {
	t.Parallel()
	cfg := settings(t, nil)
	var db Database
	a := start(t, cfg, Extras{Opened: func(opened Database) { db = opened }})
	cfg.Listen = a.listener.Addr().String()
	wantLevels(t, Doctor(t.Context(), cfg, false, quiet()), map[string]doctor.Level{"ledger.writable": doctor.OK})
	for _, write := range []string{"INSERT", "UPDATE"} {
		if err := db.Exec(t.Context(), "CREATE TEMP TRIGGER no_"+write+" BEFORE "+write+" ON main.evalq_meta BEGIN SELECT RAISE(ABORT, 'no'); END"); err != nil {
			t.Fatal(err)
		}
	}
	found := Doctor(t.Context(), cfg, false, quiet())
	wantLevels(t, found, map[string]doctor.Level{"ledger.writable": doctor.Failure})
	if _, text := at(found, "ledger.writable"); !strings.Contains(text, "nothing is accepted") {
		t.Errorf("it says %s", text)
	}
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	cfg.Listen = other.Listener.Addr().String()
	wantLevels(t, Doctor(t.Context(), cfg, false, quiet()), map[string]doctor.Level{"ledger.writable": doctor.Warning})
}

func TestTheDoctorLooksAtTheManagedEngineWhileItRuns(t *testing.T) {
	t.Parallel()
	cfg := settings(t, func(c *config.Config) { c.Engine = config.EngineManaged })
	wantLevels(t, Doctor(t.Context(), cfg, false, quiet()), map[string]doctor.Level{"redis": doctor.Note})
	if entries, err := os.ReadDir(cfg.DataDir); err != nil || len(entries) > 0 {
		t.Errorf("it made %v, %v", entries, err)
	}
	cfg.ManagedBinary = "/no/such/server"
	wantLevels(t, Doctor(t.Context(), cfg, false, quiet()), map[string]doctor.Level{"redis": doctor.Failure})
	cfg.ManagedBinary = ""
	a := start(t, cfg, Extras{})
	cfg.Listen = a.listener.Addr().String()
	wantLevels(t, Doctor(t.Context(), cfg, false, quiet()), map[string]doctor.Level{"redis": doctor.OK, "redis.persistence": doctor.OK, "redis.eviction": doctor.OK, "ledger.writable": doctor.OK})
}

func TestTheDoctorMakesNothingInADatabase(t *testing.T) {
	t.Parallel()
	pg, err := sandbox.StartPostgres(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Close(); err != nil {
			t.Error(err)
		}
	})
	cfg := settings(t, func(c *config.Config) {
		c.LedgerURL, c.Engine, c.RedisURL = pg.URL(), config.EngineRedis, redistest.Start(t, redistest.WithAOF()).URL
	})
	wantLevels(t, Doctor(t.Context(), cfg, true, quiet()), map[string]doctor.Level{"ledger": doctor.OK, "ledger.schema": doctor.Note, "ledger.durability": doctor.OK, "ledger.writable": "", "workers": ""})
	db, err := sql.Open("pgx", pg.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var tables int
	if err := db.QueryRow(`SELECT count(*) FROM information_schema.tables WHERE table_name LIKE 'evalq%'`).Scan(&tables); err != nil || tables != 0 {
		t.Errorf("%d tables, %v", tables, err)
	}
	start(t, cfg, Extras{})
	found := Doctor(t.Context(), cfg, true, quiet())
	wantLevels(t, found, map[string]doctor.Level{"ledger.schema": doctor.OK, "ledger.writable": doctor.OK, "ledger.clock": doctor.OK, "relay": doctor.OK, "workers": doctor.OK})
	if err := pg.Kill(); err != nil {
		t.Fatal(err)
	}
	found = Doctor(t.Context(), cfg, false, quiet())
	wantLevels(t, found, map[string]doctor.Level{"ledger": doctor.Failure, "redis": doctor.OK, "ledger.schema": ""})
	secret, err := url.Parse(pg.URL())
	if err != nil {
		t.Fatal(err)
	}
	password, _ := secret.User.Password()
	if _, text := at(found, "ledger"); password == "" || strings.Contains(text, password) || !strings.Contains(text, "127.0.0.1") {
		t.Errorf("it says %s", text)
	}
	if err := pg.Restart(t.Context()); err != nil { // the server stops in order
		t.Fatal(err)
	}
}

// serveUntil runs Serve until it has said where it answers, and gives what it said.
func serveUntil(t *testing.T, cfg config.Config) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := Serve(ctx, cfg, w, quiet())
		done <- errors.Join(err, w.Close())
	}()
	var said bytes.Buffer
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		said.Write(buf[:n])
		if strings.Contains(said.String(), "/readyz") {
			cancel()
		}
		if err != nil {
			break
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return said.String()
}

func TestAStartSaysInOneLineThatTheDoctorWarns(t *testing.T) {
	t.Parallel()
	said := ""
	for range 3 { // a busy disk may keep a check waiting
		if said = serveUntil(t, settings(t, nil)); !strings.Contains(said, "doctor") {
			break
		}
	}
	if strings.Contains(said, "doctor") {
		t.Errorf("a start with nothing wrong says:\n%s", said)
	}
	s := redistest.Start(t, redistest.WithArgs("--maxmemory-policy", "allkeys-lru"))
	said = serveUntil(t, settings(t, func(c *config.Config) { c.Engine, c.RedisURL = config.EngineRedis, s.URL }))
	if !regexp.MustCompile("(?m)^doctor     \\d warnings; `evalq doctor` tells more$").MatchString(said) {
		t.Errorf("it says:\n%s", said)
	}
}

func TestACheckupThatHangsHoldsAStartUpForTwoSeconds(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a, err := Open(t.Context(), settings(t, func(c *config.Config) { c.Engine, c.RedisURL = config.EngineRedis, s.URL }), Extras{}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := s.Client(t).Do(t.Context(), "CLIENT", "PAUSE", "5000", "ALL").Err(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	found := a.checkup(t.Context())
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("it took %v", took)
	}
	wantLevels(t, found, map[string]doctor.Level{"redis": doctor.Failure})
}

func TestTheDoctorLooksAtThePlatformsDatabase(t *testing.T) {
	t.Parallel()
	a, p := onPlatform(t, platformtest.ByProgram, Extras{}, nil)
	wantLevels(t, Doctor(t.Context(), settings(t, nil), false, quiet()), map[string]doctor.Level{"platform": ""})
	cfg := settings(t, func(c *config.Config) { c.PlatformDB = p.URL })
	wantLevels(t, Doctor(t.Context(), cfg, false, quiet()), map[string]doctor.Level{"platform": doctor.OK})
	p.Exec(`ALTER TABLE answer_report RENAME COLUMN records TO items`)
	level, text := at(Doctor(t.Context(), cfg, false, quiet()), "platform")
	if level != doctor.Failure || !strings.Contains(text, "column answer_report.records") || !strings.Contains(text, "--platform-db") {
		t.Errorf("without a column it is %q: %s", level, text)
	}
	// A server that runs says so at its next start, or when it is asked.
	if level, text := at(a.checkup(t.Context()), "platform"); level != doctor.Failure || !strings.Contains(text, "column answer_report.records") {
		t.Errorf("at a start it is %q: %s", level, text)
	}
	cfg.PlatformDB = "mysql://eva:s3cret@127.0.0.1:1/platform"
	if level, text := at(Doctor(t.Context(), cfg, false, quiet()), "platform"); level != doctor.Failure || strings.Contains(text, "s3cret") {
		t.Errorf("of one that is away it says %q: %s", level, text)
	}
}
