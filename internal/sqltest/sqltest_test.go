package sqltest_test

import (
	"database/sql"
	"net/url"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"

	"evalq/internal/sqltest"
)

func TestMain(m *testing.M) { sqltest.Main(m) }

func open(t *testing.T, address string) *sql.DB {
	t.Helper()
	driver, dsn := "pgx", address
	if strings.HasPrefix(address, "mysql://") {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		cfg := mysql.NewConfig()
		cfg.User, cfg.Net, cfg.Addr, cfg.DBName = u.User.Username(), "tcp", u.Host, strings.TrimPrefix(u.Path, "/")
		cfg.Passwd, _ = u.User.Password()
		driver, dsn = "mysql", cfg.FormatDSN()
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestEachTestHasAnEmptyDatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	for name, fresh := range map[string]func(testing.TB) string{"PostgreSQL": sqltest.Postgres, "MariaDB": sqltest.MariaDB} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 3 {
				db := open(t, fresh(t))
				if _, err := db.ExecContext(t.Context(), "CREATE TABLE answers (n INT)"); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestADatabaseIsGoneAfterItsTest(t *testing.T) {
	t.Parallel()
	var address string
	t.Run("uses it", func(t *testing.T) {
		address = sqltest.Postgres(t)
		if err := open(t, address).PingContext(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	if err := open(t, address).PingContext(t.Context()); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("ping after the test: %v, want that the database does not exist", err)
	}
}
