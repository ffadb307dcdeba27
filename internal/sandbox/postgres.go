package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// postgresPlaces are where systems keep PostgreSQL's programs off PATH.
var postgresPlaces = []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin"}

const postgresAdvice = "apt-get install postgresql, brew install postgresql@17"

// StartPostgres starts an empty PostgreSQL that syncs its commits to disk, and
// returns when it answers. ctx bounds the start, not the server's life. Root
// may not run PostgreSQL, so then it runs as the user postgres or nobody.
func StartPostgres(ctx context.Context, cfg *Config) (*Server, error) {
	binary, err := find("postgres", postgresPlaces...)
	if err != nil {
		return nil, fmt.Errorf("sandbox: start PostgreSQL: %w", notInstalled(postgresAdvice))
	}
	// What is on PATH may be a link; initdb is beside the program itself.
	if binary, err = filepath.EvalSymlinks(binary); err != nil {
		return nil, fmt.Errorf("sandbox: start PostgreSQL: %w", err)
	}
	user, err := unprivileged("postgres", "nobody")
	if err != nil {
		return nil, fmt.Errorf("sandbox: start PostgreSQL: %w", err)
	}
	s, err := start(ctx, postgres{binary}, cfg, true, user)
	if err != nil {
		return nil, err
	}
	if _, err := s.CreateDatabase(ctx, firstDatabase); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

type postgres struct{ binary string }

func (postgres) String() string { return "PostgreSQL" }

func (p postgres) prepare(ctx context.Context, s *Server) error {
	secret := s.path("password")
	if err := os.WriteFile(secret, []byte(s.password+"\n"), 0o600); err != nil {
		return err
	}
	defer os.Remove(secret)
	if err := give(secret, s.user); err != nil {
		return err
	}
	args := []string{
		"--pgdata", s.path(dataName), "--username", userName, "--pwfile", secret, "--auth", "scram-sha-256",
		"--locale", "C", "--encoding", "UTF8", "--no-sync",
	}
	return s.tool(ctx, filepath.Join(filepath.Dir(p.binary), "initdb"), append(args, s.cfg.InitArgs...)...)
}

func (p postgres) command(s *Server) (string, []string) {
	return p.binary, []string{
		"-D", s.path(dataName),
		"-c", "listen_addresses=" + loopback,
		"-c", "port=" + strconv.Itoa(s.port),
		"-c", "unix_socket_directories=",
		"-c", "shared_buffers=32MB",
		"-c", "max_connections=200",
		// In the data folder, so that a kill leaves nothing elsewhere.
		"-c", "dynamic_shared_memory_type=mmap",
		"-c", "cluster_name=evalq sandbox",
	}
}

func (postgres) url(s *Server, database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(userName, s.password), Host: s.Addr(), Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

func (postgres) stopSignal() os.Signal { return os.Interrupt } // ends the sessions too

func (postgres) dropSignal() os.Signal { return syscall.SIGQUIT }
