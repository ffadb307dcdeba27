package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var errURL = errors.New("the URL cannot be read; write it like postgres://user:password@host:5432/database")

// parse reads a URL or keyword list and the files that its sslcert, sslkey and
// sslrootcert name. Its error has no part of the URL but the path of such a file:
// the driver's own quotes the URL.
func parse(url string) (*pgx.ConnConfig, error) {
	conf, err := pgx.ParseConfig(url)
	if err == nil {
		return conf, nil
	}
	var file *fs.PathError
	text := err.Error()
	switch {
	case errors.As(err, &file):
		return nil, fmt.Errorf("a file that the URL names cannot be read: %w", file)
	case strings.Contains(text, "add CA to cert pool"), strings.Contains(text, "unable to read CA file"):
		return nil, errors.New("the file that sslrootcert names cannot be read or has no certificate in PEM form")
	case strings.Contains(text, "sslcert"), strings.Contains(text, "sslkey"), strings.Contains(text, "unable to read cert"),
		strings.Contains(text, "tls:"), strings.Contains(text, "x509:"), strings.Contains(text, "decode"):
		return nil, errors.New("the files that sslcert and sslkey name are no certificate and its key in PEM form; both are needed, and an encrypted key needs sslpassword")
	}
	return nil, errURL
}

// renew reads the files of TLS again, so that a new connection uses the keys that
// are there now. While they cannot be used, what was read last goes on.
func renew(url string, c *pgx.ConnConfig) {
	if c.TLSConfig == nil || !strings.Contains(url, "ssl") && os.Getenv("PGSSLCERT") == "" && os.Getenv("PGSSLROOTCERT") == "" {
		return
	}
	fresh, err := pgx.ParseConfig(url)
	if err != nil || len(fresh.Fallbacks) != len(c.Fallbacks) {
		return
	}
	c.TLSConfig = fresh.TLSConfig
	all := make([]*pgconn.FallbackConfig, len(c.Fallbacks)) // other connections share those that were there
	for i, f := range fresh.Fallbacks {
		one := *c.Fallbacks[i]
		one.TLSConfig = f.TLSConfig
		all[i] = &one
	}
	c.Fallbacks = all
}

// PlainHosts are the hosts that a URL may reach without TLS: sslmode allow and prefer,
// which is the default, go on without it when the server has none. Sockets are left
// out.
func PlainHosts(url string) (hosts []string) {
	conf, err := parse(url)
	if err != nil {
		return nil
	}
	ways := append([]*pgconn.FallbackConfig{{Host: conf.Host, TLSConfig: conf.TLSConfig}}, conf.Fallbacks...)
	for _, way := range ways {
		if way.TLSConfig == nil && !strings.HasPrefix(way.Host, "/") && !slices.Contains(hosts, way.Host) {
			hosts = append(hosts, way.Host)
		}
	}
	return hosts
}
