package mysqlurl_test

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"evalq/internal/mysqlurl"
	"evalq/internal/sandbox"
	"evalq/internal/tlstest"
)

func TestAMariaDBThatAsksForAClientsCertificateGetsTheOneThatTheURLNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := tlstest.New(t, dir)
	serverCert, serverKey := ca.Issue("server")
	cert, key := ca.Issue("evalq")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	s, err := sandbox.StartMariaDB(ctx, &sandbox.Config{Args: []string{"--ssl-cert=" + serverCert, "--ssl-key=" + serverKey, "--ssl-ca=" + ca.File}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	open := func(place string) *sql.DB {
		t.Helper()
		conf, err := mysqlurl.Parse(place)
		if err != nil {
			t.Fatal(err)
		}
		connector, err := mysql.NewConnector(conf)
		if err != nil {
			t.Fatal(err)
		}
		db := sql.OpenDB(connector)
		db.SetMaxIdleConns(0)
		t.Cleanup(func() { db.Close() })
		return db
	}
	if _, err := open(s.URL()).ExecContext(ctx, `CREATE USER strict@'127.0.0.1' IDENTIFIED BY 'hidden' REQUIRE SUBJECT '/CN=evalq'`); err != nil {
		t.Fatal(err)
	}
	place := func(files ...string) string {
		q := url.Values{}
		for i := 0; i < len(files); i += 2 {
			q.Set(files[i], files[i+1])
		}
		return "mysql://strict:hidden@" + s.Addr() + "/information_schema?" + q.Encode()
	}
	db := open(place("ssl-ca", ca.File, "ssl-cert", cert, "ssl-key", key, "tls", "true"))
	if err := db.PingContext(ctx); err != nil {
		t.Fatal(err)
	}
	if err := open(place("ssl-ca", ca.File)).PingContext(ctx); err == nil {
		t.Error("let in without a certificate")
	}
	if err := open(place("ssl-ca", ca.File, "ssl-cert", cert, "ssl-key", key, "server-name", "elsewhere")).PingContext(ctx); err == nil || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("another server's name: %v", err)
	}
	// A key that is exchanged is used for the next connection.
	cert2, key2 := ca.Issue("other")
	for from, to := range map[string]string{cert2: cert, key2: key} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.PingContext(ctx); err == nil {
		t.Error("the old certificate is still in use")
	}
	for name, c := range map[string]struct{ url, says string }{
		"no such file":   {place("ssl-ca", dir+"/none"), "none"},
		"half of a pair": {place("ssl-cert", cert), "both are needed"},
		"another's key":  {place("ssl-cert", cert, "ssl-key", serverKey), "server.key"},
		"contradiction":  {place("ssl-ca", ca.File, "tls", "false"), "contradicts"},
		"no value":       {place("ssl-ca", ""), "needs a value"},
	} {
		if _, err := mysqlurl.Parse(c.url); err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
