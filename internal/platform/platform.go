// Package platform reads interviews from the interview platform's own MySQL or
// MariaDB and writes results into it, in the form in which the platform has
// always stored them. It never makes or alters a table.
package platform

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/go-sql-driver/mysql"

	"evalq/internal/mysqlconn"
	"evalq/internal/mysqlurl"
	"evalq/internal/zone"
)

// Config tunes a Store.
type Config struct {
	// Conns bounds the connections. Defaults to 8.
	Conns int
	// PendingFor is how long a record that is pending and has no dialogue yet is
	// taken for an interview that is under way. After that it is one in which
	// nothing was asked. Defaults to 30 minutes.
	PendingFor time.Duration
	// Now dates the results. Defaults to time.Now.
	Now func() time.Time
}

func (c *Config) withDefaults() (Config, error) {
	var d Config
	if c != nil {
		d = *c
	}
	if d.Conns < 0 {
		return d, fmt.Errorf("platform: Conns: %d is below zero", d.Conns)
	}
	if d.Conns == 0 {
		d.Conns = 8
	}
	if d.PendingFor < 0 {
		return d, fmt.Errorf("platform: PendingFor: %s is below zero", d.PendingFor)
	}
	if d.PendingFor == 0 {
		d.PendingFor = 30 * time.Minute
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	return d, nil
}

// Store is an open platform database. Its methods may be called at the same
// time. Where the database cannot be reached their errors have the class storage.
type Store struct {
	Place string // the database and where it is, without secrets
	db    *sql.DB
	cfg   Config
	zone  *time.Location
}

// idleFor is how long a connection is kept that nobody uses.
const idleFor = 20 * time.Second

// Open connects to a mysql:// URL; see package mysqlurl. It refuses a database in
// which a table or column is missing, and says which. Times are read and written
// in the zone of the URL's parameter loc, as the platform's own driver does it;
// without one it is that of this process. No error has a password in it.
func Open(ctx context.Context, url string, cfg *Config) (*Store, error) {
	c, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	conf, err := mysqlurl.Parse(url)
	if err != nil {
		return nil, fmt.Errorf("platform: %w", err)
	}
	if mysqlurl.Parameter(url, "loc") == "" {
		if conf.Loc, err = zone.Local(); err != nil {
			return nil, fmt.Errorf("platform: times without the parameter loc are in the zone of this process: %w", err)
		}
	}
	tune(conf)
	s := &Store{Place: fmt.Sprintf("database %q on %s", conf.DBName, conf.Addr), cfg: c, zone: conf.Loc}
	connector, err := mysqlconn.New(conf, true)
	if err != nil {
		return nil, fmt.Errorf("platform: open %s: %w", s.Place, err)
	}
	s.db = sql.OpenDB(connector)
	s.db.SetMaxOpenConns(c.Conns)
	s.db.SetMaxIdleConns(c.Conns)
	s.db.SetConnMaxIdleTime(idleFor)
	s.db.SetConnMaxLifetime(mysqlconn.Lifetime)
	if err := s.db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("platform: connect to %s: %w", s.Place, err), s.db.Close())
	}
	if err := s.Check(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%w (%s)", err, s.Place), s.db.Close())
	}
	return s, nil
}

// tune sets what the store rests on, whatever the URL says: times as times, an
// error in place of a cut value, a count of the rows that were met, an end to
// waiting for a server that has gone without a word.
func tune(conf *mysql.Config) {
	conf.ParseTime, conf.ClientFoundRows, conf.MultiStatements, conf.InterpolateParams = true, true, false, false
	if conf.Timeout == 0 {
		conf.Timeout = 10 * time.Second
	}
	if conf.ReadTimeout == 0 {
		conf.ReadTimeout = 30 * time.Second
	}
	if conf.WriteTimeout == 0 {
		conf.WriteTimeout = 30 * time.Second
	}
	if conf.Params == nil {
		conf.Params = map[string]string{}
	}
	conf.Params["sql_mode"] = "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"
	conf.Logger = &mysql.NopLogger{}
}

// Ready reports whether the database answers.
func (s *Store) Ready(ctx context.Context) error {
	if err := s.db.PingContext(ctx); err != nil {
		return storage("ask", err)
	}
	return nil
}

// Close releases the connections.
func (s *Store) Close() error { return s.db.Close() }
