//go:build unix

package sandbox

import (
	"database/sql"
	"testing"

	goredis "github.com/redis/go-redis/v9"
)

// write puts one value into a server, through its URL's own address.
func write(t *testing.T, s *Server, value string) {
	t.Helper()
	if e, ok := s.program.(engine); ok {
		db := database(t, e, s)
		for _, statement := range []string{"CREATE TABLE t (v VARCHAR(20))", "INSERT INTO t VALUES ('" + value + "')"} {
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	if err := client(t, s).Set(t.Context(), "v", value, 0).Err(); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, s *Server) (value string) {
	t.Helper()
	var err error
	if e, ok := s.program.(engine); ok {
		err = database(t, e, s).QueryRowContext(t.Context(), "SELECT v FROM t").Scan(&value)
	} else {
		value, err = client(t, s).Get(t.Context(), "v").Result()
	}
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func database(t *testing.T, e engine, s *Server) *sql.DB {
	t.Helper()
	db, err := e.open(s, firstDatabase)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func client(t *testing.T, s *Server) *goredis.Client {
	t.Helper()
	options, err := goredis.ParseURL(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	c := goredis.NewClient(options)
	t.Cleanup(func() { c.Close() })
	return c
}
