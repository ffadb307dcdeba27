package postgres

import (
	"context"
	"net/url"
	"os"
	"os/user"
	"strconv"
	"strings"
	"testing"
	"time"

	"evalq/internal/sandbox"
	"evalq/internal/tlstest"
)

// readable is a folder that the server's own user may look into.
func readable(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tls")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// own gives a file to the user that PostgreSQL runs as when root starts it.
func own(t *testing.T, file string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			id, _ := strconv.Atoi(u.Uid)
			if err := os.Chown(file, id, -1); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
}

func TestAPostgresThatAsksForAClientsCertificateGetsTheOneThatTheURLNames(t *testing.T) {
	t.Parallel()
	dir := readable(t)
	ca := tlstest.New(t, dir)
	serverCert, serverKey := ca.Issue("server")
	own(t, serverKey)
	cert, key := ca.Issue("evalq")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	s, err := sandbox.StartPostgres(ctx, &sandbox.Config{Args: []string{"-c", "fsync=off", "-c", "ssl=on", "-c", "ssl_cert_file=" + serverCert, "-c", "ssl_key_file=" + serverKey, "-c", "ssl_ca_file=" + ca.File}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	place := func(files ...string) string {
		u, _ := url.Parse(s.URL())
		q := url.Values{"sslmode": {"verify-full"}}
		for i := 0; i < len(files); i += 2 {
			q.Set(files[i], files[i+1])
		}
		u.RawQuery = q.Encode()
		return u.String()
	}
	right := place("sslrootcert", ca.File, "sslcert", cert, "sslkey", key)
	db, err := Open(ctx, right, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	who := func() (name string) {
		t.Helper()
		if err := db.read.QueryRowContext(ctx, `SELECT coalesce(client_dn, '') FROM pg_stat_ssl WHERE pid = pg_backend_pid()`).Scan(&name); err != nil {
			t.Fatal(err)
		}
		return name
	}
	if got := who(); got != "/CN=evalq" {
		t.Errorf("the server sees %q", got)
	}
	// A key that is exchanged is used for the next connection.
	cert2, key2 := ca.Issue("evalq-2")
	for from, to := range map[string]string{cert2: cert, key2: key} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	db.read.SetMaxIdleConns(0)
	if got := who(); got != "/CN=evalq-2" {
		t.Errorf("after the exchange the server sees %q", got)
	}
	for name, c := range map[string]struct{ url, says string }{
		"no such certificate": {place("sslrootcert", ca.File, "sslcert", dir+"/none", "sslkey", key), "sslcert"},
		"no such authority":   {place("sslrootcert", dir+"/none"), "sslrootcert"},
		"no authority":        {place("sslrootcert", key), "sslrootcert"},
		"another's key":       {place("sslrootcert", ca.File, "sslcert", cert, "sslkey", ca.File), "sslkey"},
	} {
		_, err := Open(ctx, c.url, true, nil)
		u, _ := url.Parse(c.url)
		secret, _ := u.User.Password()
		if err == nil || !strings.Contains(err.Error(), c.says) && !strings.Contains(err.Error(), "/none") || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
