package redisconn

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

	"evalq/internal/redistest"
	"evalq/internal/tlstest"
)

func TestARedisThatWantsAClientsCertificateGetsTheOneThatTheURLNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := tlstest.New(t, dir)
	serverCert, serverKey := ca.Issue("server")
	cert, key := ca.Issue("evalq")
	port := redistest.FreePort(t)
	redistest.Start(t, redistest.WithArgs("--tls-port", strconv.Itoa(port), "--bind", "127.0.0.1", "--tls-cert-file", serverCert, "--tls-key-file", serverKey, "--tls-ca-cert-file", ca.File))
	place := func(files ...string) string {
		q := url.Values{}
		for i := 0; i < len(files); i += 2 {
			q.Set(files[i], files[i+1])
		}
		return "rediss://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) + "?" + q.Encode()
	}
	c := open(t, place("ca_file", ca.File, "cert_file", cert, "key_file", key))
	if err := Probe(t.Context(), c, "default"); err != nil {
		t.Error(err)
	}
	if got := openFails(t, place("ca_file", ca.File)); !strings.Contains(got, "cert_file") {
		t.Errorf("without a certificate: %s", got)
	}
	if got := openFails(t, place("cert_file", cert, "key_file", key)); !strings.Contains(got, "ca_file") {
		t.Errorf("without the authority: %s", got)
	}
	strange, strangeKey := tlstest.New(t, t.TempDir()).Issue("strange")
	if got := openFails(t, place("ca_file", ca.File, "cert_file", strange, "key_file", strangeKey)); !strings.Contains(got, "cert_file") {
		t.Errorf("with the certificate of another authority: %s", got)
	}
	if got := openFails(t, place("ca_file", ca.File, "cert_file", cert, "key_file", key, "server_name", "elsewhere")); !strings.Contains(got, "elsewhere") {
		t.Errorf("with another server's name: %s", got)
	}
	for name, c := range map[string]struct{ url, says string }{
		"no such file":      {place("ca_file", ca.File, "cert_file", dir+"/none.pem", "key_file", key), "none.pem"},
		"no authority":      {place("ca_file", key), "evalq.key"},
		"another's key":     {place("ca_file", ca.File, "cert_file", cert, "key_file", serverKey), "server.key"},
		"half of a pair":    {place("cert_file", cert), "both are needed"},
		"no TLS":            {strings.Replace(place("cert_file", cert), "rediss", "redis", 1), "rediss://"},
		"no value":          {place("ca_file", ""), "needs a value"},
		"a contradiction":   {place("ca_file", ca.File, "skip_verify", "true"), "contradict"},
		"not readable, dir": {place("ca_file", dir), dir},
	} {
		if got := openFails(t, c.url); !strings.Contains(got, c.says) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestAKeyThatWasExchangedIsUsedForTheNextConnection(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old := tlstest.New(t, t.TempDir())
	cert, key := old.Issue("evalq")
	serve := func(ca *tlstest.Authority) string {
		port := redistest.FreePort(t)
		c, k := ca.Issue("server")
		redistest.Start(t, redistest.WithArgs("--tls-port", strconv.Itoa(port), "--bind", "127.0.0.1", "--tls-cert-file", c, "--tls-key-file", k, "--tls-ca-cert-file", ca.File))
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	}
	put := func(from, name string) string {
		t.Helper()
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/"+name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return dir + "/" + name
	}
	q := url.Values{"ca_file": {put(old.File, "ca")}, "cert_file": {put(cert, "cert")}, "key_file": {put(key, "key")}}.Encode()
	place := serve(old)
	c := open(t, fmt.Sprintf("rediss://%s?%s", place, q))
	next := tlstest.New(t, t.TempDir())
	cert, key = next.Issue("evalq")
	elsewhere := serve(next)
	// One file at a time: what is between goes on with the old pair.
	put(cert, "cert")
	one := c.Conn()
	if err := one.Ping(t.Context()).Err(); err != nil {
		t.Errorf("between the two files: %v", err)
	}
	_ = one.Close()
	put(key, "key")
	put(next.File, "ca")
	o := *c.Options()
	conn, err := o.Dialer(t.Context(), "tcp", elsewhere)
	if err != nil {
		t.Fatalf("after the exchange: %v", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 7)
	if _, err := conn.Read(buf); err != nil || string(buf) != "+PONG\r\n" {
		t.Errorf("%q, %v", buf, err)
	}
}
