//go:build unix

package sandbox

import (
	"database/sql"
	"strings"
	"testing"
)

func TestEachDatabaseOfAServerIsEmptyAndMayBeDroppedInUse(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"PostgreSQL", "MariaDB"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := started(t, starters[name], nil)
			e := s.program.(engine)
			write(t, s, "in the first")
			for range 2 {
				url, err := s.CreateDatabase(t.Context(), "second")
				if err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(url, s.Addr()+"/second") {
					t.Errorf("its URL is %q, want the address and the name in it", url)
				}
				db, err := e.open(s, "second")
				if err != nil {
					t.Fatal(err)
				}
				if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (v VARCHAR(20))"); err != nil {
					t.Error(err)
				}
				if err := s.DropDatabase(t.Context(), "second"); err != nil {
					t.Error(err)
				}
				if _, err := db.ExecContext(t.Context(), "INSERT INTO t VALUES ('late')"); err == nil {
					t.Error("a connection writes to a database that was dropped")
				}
				db.Close()
			}
		})
	}
}

func TestADatabaseNeedsAPlainNameAndAServerThatHasDatabases(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "A", "a-b", "a;b", "1a", strings.Repeat("a", 64), "a`b", `a"b`} {
		if _, err := (&Server{program: postgres{}}).CreateDatabase(t.Context(), name); err == nil {
			t.Errorf("a database was made with the name %q", name)
		}
	}
	if _, err := (&Server{program: redis{}}).CreateDatabase(t.Context(), "a"); err == nil {
		t.Error("Redis made a database")
	}
}

// What a private server holds is nobody else's business: any user of the
// machine can reach a loopback port.
func TestNobodyGetsInWithoutThePassword(t *testing.T) {
	t.Parallel()
	for name, accounts := range map[string][]string{"PostgreSQL": {"evalq", "postgres"}, "MariaDB": {"evalq", "root", ""}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := started(t, starters[name], nil)
			for _, account := range accounts {
				driver, address := "pgx", "postgres://"+account+"@"+s.Addr()+"/postgres?sslmode=disable"
				if name == "MariaDB" {
					driver, address = "mysql", account+"@tcp("+s.Addr()+")/"
				}
				db, err := sql.Open(driver, address)
				if err != nil {
					t.Fatal(err)
				}
				if err := db.PingContext(t.Context()); err == nil {
					t.Errorf("user %q gets in without a password", account)
				}
				db.Close()
			}
		})
	}
}
