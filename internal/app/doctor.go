package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"evalq/internal/api"
	"evalq/internal/config"
	"evalq/internal/doctor"
	"evalq/internal/engine"
	"evalq/internal/ledger"
	"evalq/internal/ledger/mysql"
	"evalq/internal/ledger/postgres"
	"evalq/internal/ledger/sqlite"
	"evalq/internal/platform"
	"evalq/internal/redisconn"
	"evalq/tasks"
)

// reachWithin bounds how long a database or a Redis may take to be reached.
const reachWithin = 5 * time.Second

// Doctor looks at what a server with these settings would rest on, whether one
// runs or not, and changes nothing but for a commit that shows that the ledger
// can be written. With deep it takes its time.
func Doctor(ctx context.Context, cfg config.Config, deep bool, log *slog.Logger) []doctor.Finding {
	redisconn.LogTo(log)
	s := subject(cfg)
	defer peekLedger(ctx, cfg, &s)()
	defer peekRedis(ctx, cfg, &s)()
	defer peekPlatform(ctx, cfg, &s)()
	return doctor.Examine(ctx, s, &doctor.Config{Deep: deep})
}

// checkup is the short form at the start, within two seconds.
func (a *App) checkup(ctx context.Context) []doctor.Finding {
	s := subject(a.cfg)
	s.Ledger, s.Database, s.Ready, s.LedgerPlace = a.ledger.Ledger, a.ledger.database, a.ledger.Ready, a.ledger.place
	if a.mirror != nil {
		s.Platform, s.PlatformPlace = a.mirror.platform, a.mirror.platform.Place
	}
	switch s.Redis, s.RedisPlace = a.engine.client, a.engine.name; a.cfg.Engine {
	case config.EngineEmbedded:
		s.Redis, s.RedisErr = nil, doctor.ErrInside
	case config.EngineRedis:
		s.RedisPlace = redisconn.Redacted(a.cfg.RedisURL)
	}
	bounded, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	all := doctor.Examine(bounded, s, &doctor.Config{Start: true})
	if ctx.Err() != nil { // somebody has stopped the start
		return nil
	}
	var found []doctor.Finding
	for _, f := range all {
		if f.Level.AtLeast(doctor.Warning) {
			found = append(found, f)
			a.log.Warn("a check at the start found something", "check", f.Check, "found", f.What, "advice", f.Do)
		}
	}
	return found
}

func subject(cfg config.Config) doctor.Subject {
	s := doctor.Subject{
		Namespace: tasks.Namespace(cfg.Namespace), Kind: doctor.SQLite,
		Open: cfg.OperatorToken == "" && cfg.Listen != "", Plain: plainPlaces(cfg), Tokens: tokenSettings(cfg),
	}
	switch {
	case strings.HasPrefix(cfg.LedgerURL, "mysql://"):
		s.Kind = doctor.MySQL
	case cfg.LedgerURL != "":
		s.Kind = doctor.Postgres
	default:
		s.Dir, s.LedgerPlace = cfg.DataDir, "SQLite in "+cfg.DataDir
	}
	return s
}

// peekLedger opens the ledger as it is, and answers how to close it.
func peekLedger(ctx context.Context, cfg config.Config, s *doctor.Subject) (done func()) {
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	switch s.Kind {
	case doctor.MySQL:
		db, err := mysql.Peek(ctx, cfg.LedgerURL)
		if s.LedgerErr = err; err != nil {
			return func() {}
		}
		s.LedgerPlace = "MySQL, " + db.Place
		return look(s, db, db.Ledger, db.Close)
	case doctor.Postgres:
		db, err := postgres.Peek(ctx, cfg.LedgerURL)
		if s.LedgerErr = err; err != nil {
			return func() {}
		}
		s.LedgerPlace = "PostgreSQL, " + db.Place
		return look(s, db, db.Ledger, db.Close)
	}
	db, err := sqlite.Peek(ctx, cfg.DataDir)
	if errors.Is(err, fs.ErrNotExist) {
		err = doctor.ErrNoLedger
	}
	if s.LedgerErr = err; err != nil {
		return func() {}
	}
	done = look(s, db, db.Ledger, db.Close)
	s.Stopped = !db.InUse
	if db.InUse {
		s.ReadyBy = "http://" + seen(cfg.Listen)
		s.Ready = func(ctx context.Context) error { return askReady(ctx, s.ReadyBy+"/readyz") }
	}
	return done
}

// look gives the doctor what is there of a ledger.
func look(s *doctor.Subject, db doctor.Database, l *ledger.Ledger, closes func() error) (done func()) {
	s.Database = db
	if l != nil {
		s.Ledger, s.Ready = l, l.Ready
	}
	return func() { _ = closes() } // nothing was written that could be lost
}

// seen is a listening address as this machine reaches it.
func seen(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// askReady asks the server that has a ledger open whether it can commit. What else
// is missing there is looked at by other checks.
func askReady(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var said api.Readiness
	err = json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&said)
	ledger, known := said.Checks["ledger"]
	switch {
	case err != nil || !known:
		return fmt.Errorf("what answers %s is no evalq", resp.Status)
	case !ledger.OK:
		return doctor.ErrNoCommit
	}
	return nil
}

// peekPlatform connects to the platform's database, and answers how to close the
// connection.
func peekPlatform(ctx context.Context, cfg config.Config, s *doctor.Subject) (done func()) {
	if cfg.PlatformDB == "" {
		return func() {}
	}
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	p, err := platform.Open(ctx, cfg.PlatformDB, nil)
	if s.PlatformErr = err; err != nil {
		return func() {}
	}
	s.Platform, s.PlatformPlace = p, p.Place
	return func() { _ = p.Close() } // nothing was written
}

// peekRedis connects to the Redis that carries the queue, and answers how to
// close the connection.
func peekRedis(ctx context.Context, cfg config.Config, s *doctor.Subject) (done func()) {
	url := cfg.RedisURL
	switch cfg.Engine {
	case config.EngineEmbedded:
		s.RedisErr = doctor.ErrInside
		return func() {}
	case config.EngineManaged:
		at, running, err := engine.FindManaged(ctx, &engine.ManagedConfig{Dir: filepath.Join(cfg.DataDir, "redis"), Binary: cfg.ManagedBinary})
		if err == nil && !running && s.ReadyBy == "" { // nobody has the ledger open
			err = doctor.ErrIdle
		}
		if s.RedisErr = err; err != nil {
			return func() {}
		}
		url = at
	}
	s.RedisPlace = redisconn.Redacted(url)
	client, err := redisconn.Open(ctx, url, nil)
	if s.RedisErr = err; err != nil {
		return func() {}
	}
	s.Redis = client
	return func() { _ = client.Close() }
}
