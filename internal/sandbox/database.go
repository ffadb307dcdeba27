package sandbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	userName      = "evalq"
	firstDatabase = "evalq"
)

// engine is a program that has databases.
type engine interface {
	open(s *Server, database string) (*sql.DB, error)
	create(name string) string
	drop(name string) string
}

// goodName needs no quoting in any dialect.
var goodName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// CreateDatabase makes an empty database and returns its URL. The name is of
// a-z, 0-9 and _. Redis has no such databases and returns an error.
func (s *Server) CreateDatabase(ctx context.Context, name string) (string, error) {
	if err := s.alter(ctx, name, engine.create); err != nil {
		return "", fmt.Errorf("sandbox: create database %q on %v: %w", name, s.program, err)
	}
	return s.program.url(s, name), nil
}

// DropDatabase removes a database with all that is in it, also under the eyes
// of those who are connected to it.
func (s *Server) DropDatabase(ctx context.Context, name string) error {
	if err := s.alter(ctx, name, engine.drop); err != nil {
		return fmt.Errorf("sandbox: drop database %q on %v: %w", name, s.program, err)
	}
	return nil
}

func (s *Server) alter(ctx context.Context, name string, statement func(engine, string) string) error {
	e, ok := s.program.(engine)
	if !ok {
		return errors.New("it has no databases by name")
	}
	if !goodName.MatchString(name) {
		return errors.New("a name is a letter and then up to 62 of a-z, 0-9 and _")
	}
	return execute(ctx, e, s, statement(e, name))
}

func execute(ctx context.Context, e engine, s *Server, statement string) error {
	db, err := e.open(s, "")
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, statement)
	return err
}

func ping(ctx context.Context, e engine, s *Server) error {
	db, err := e.open(s, "")
	if err != nil {
		return err
	}
	defer db.Close()
	return db.PingContext(ctx)
}

func (p postgres) ping(ctx context.Context, s *Server) error { return ping(ctx, p, s) }

// open connects without a name to the database that is there from the start.
func (p postgres) open(s *Server, database string) (*sql.DB, error) {
	if database == "" {
		database = "postgres"
	}
	cfg, err := pgx.ParseConfig(p.url(s, database))
	if err != nil {
		return nil, err
	}
	return stdlib.OpenDB(*cfg), nil
}

func (postgres) create(name string) string { return "CREATE DATABASE " + name }

func (postgres) drop(name string) string { return "DROP DATABASE IF EXISTS " + name + " WITH (FORCE)" }

func (m mariadb) ping(ctx context.Context, s *Server) error { return ping(ctx, m, s) }

func (mariadb) open(s *Server, database string) (*sql.DB, error) {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.DBName = userName, s.password, "tcp", s.Addr(), database
	cfg.Logger = silence{}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

func (mariadb) create(name string) string { return "CREATE DATABASE `" + name + "`" }

func (mariadb) drop(name string) string { return "DROP DATABASE IF EXISTS `" + name + "`" }

// silence keeps the driver from printing what it also returns.
type silence struct{}

func (silence) Print(...any) {}
