package sandbox

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// mysqlPlaces are where systems keep server programs that users lack on PATH.
var mysqlPlaces = []string{"/usr/sbin", "/usr/libexec", "/usr/local/sbin", "/opt/homebrew/opt/mariadb*/bin", "/usr/local/opt/mariadb*/bin"}

const mariadbAdvice = "apt-get install mariadb-server, brew install mariadb"

// StartMariaDB starts an empty MariaDB, or a MySQL where only that is
// installed, that syncs its commits to disk. It returns when it answers; ctx
// bounds the start, not the server's life.
func StartMariaDB(ctx context.Context, cfg *Config) (*Server, error) {
	p, err := findMariaDB()
	if err != nil {
		return nil, fmt.Errorf("sandbox: start MariaDB: %w", err)
	}
	return start(ctx, p, cfg, true, nil)
}

// mariadb is a server of either name. MySQL has no installer: it makes its
// data folder itself.
type mariadb struct{ binary, installer string }

func findMariaDB() (mariadb, error) {
	if binary, err := find("mariadbd", mysqlPlaces...); err == nil {
		installer, err := find("mariadb-install-db", "/usr/bin", filepath.Dir(binary), filepath.Join(filepath.Dir(binary), "../bin"))
		if err != nil {
			return mariadb{}, fmt.Errorf("find mariadb-install-db beside %q: %w", binary, notInstalled(mariadbAdvice))
		}
		return mariadb{binary, installer}, nil
	}
	binary, err := find("mysqld", mysqlPlaces...)
	if err != nil {
		return mariadb{}, notInstalled(mariadbAdvice)
	}
	return mariadb{binary: binary}, nil
}

func (mariadb) String() string { return "MariaDB" }

func (m mariadb) prepare(ctx context.Context, s *Server) error {
	if err := os.WriteFile(s.path("init.sql"), []byte(m.firstStatements(s)), 0o600); err != nil {
		return err
	}
	args := []string{"--no-defaults", "--datadir=" + s.path(dataName)}
	if isRoot() {
		args = append(args, "--user=root")
	}
	// Only a loss of power while the folder is made could tell the difference.
	args = append(args, redoLog, "--loose-debug-no-sync")
	if m.installer == "" {
		return s.tool(ctx, m.binary, append(append(args, "--initialize-insecure"), s.cfg.InitArgs...)...)
	}
	args = append(args, "--skip-test-db", "--skip-name-resolve", "--auth-root-authentication-method=normal")
	return s.tool(ctx, m.installer, append(args, s.cfg.InitArgs...)...)
}

// redoLog keeps the data folder small: the default is written in full at once.
const redoLog = "--loose-innodb-log-file-size=32M"

// firstStatements runs before the server listens, one statement a line. It
// leaves no account without a password, and may run at every start.
func (mariadb) firstStatements(s *Server) string {
	var b strings.Builder
	fmt.Fprintf(&b, "ALTER USER root@localhost IDENTIFIED BY '%s';\n", s.password)
	fmt.Fprintf(&b, "DROP USER IF EXISTS root@'127.0.0.1', root@'::1', ''@localhost;\n")
	for _, host := range []string{loopback, "localhost"} {
		fmt.Fprintf(&b, "CREATE USER IF NOT EXISTS %s@'%s' IDENTIFIED BY '%s';\n", userName, host, s.password)
		fmt.Fprintf(&b, "GRANT ALL PRIVILEGES ON *.* TO %s@'%s' WITH GRANT OPTION;\n", userName, host)
	}
	fmt.Fprintf(&b, "CREATE DATABASE IF NOT EXISTS %s;\n", firstDatabase)
	return b.String()
}

func (m mariadb) command(s *Server) (string, []string) {
	args := []string{
		"--no-defaults",
		"--datadir=" + s.path(dataName),
		"--bind-address=" + loopback,
		"--port=" + strconv.Itoa(s.port),
		// Below the data folder, where it is short enough for any folder.
		"--socket=mysql.sock",
		"--pid-file=" + s.path("pid"),
		"--init-file=" + s.path("init.sql"),
		"--secure-file-priv=" + s.folder, // MySQL's own default must exist
		"--skip-name-resolve",
		"--skip-log-bin",
		"--performance-schema=OFF",
		"--loose-mysqlx=OFF",
		"--character-set-server=utf8mb4",
		"--innodb-buffer-pool-size=64M",
		"--innodb-flush-log-at-trx-commit=1",
		"--max-connections=200",
		redoLog,
	}
	if isRoot() {
		args = append(args, "--user=root")
	}
	return m.binary, args
}

func (mariadb) url(s *Server, database string) string {
	return fmt.Sprintf("mysql://%s:%s@%s/%s", userName, s.password, s.Addr(), database)
}

func (mariadb) stopSignal() os.Signal { return syscall.SIGTERM }

func (mariadb) dropSignal() os.Signal { return os.Kill }
