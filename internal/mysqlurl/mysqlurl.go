// Package mysqlurl reads the URLs that name a database of MySQL or MariaDB.
package mysqlurl

import (
	"errors"
	"net"
	"net/url"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// Scheme begins such a URL.
const Scheme = "mysql://"

var errURL = errors.New("mysql: the URL cannot be read; write it like mysql://user:password@host:3306/database")

// Parse reads a mysql:// URL: user, password, host and port, or a socket as
// unix(/path), and the database. Parameters are those of go-sql-driver, such as
// tls=true. Its error has no part of a password in it.
func Parse(raw string) (*mysql.Config, error) {
	rest, ok := strings.CutPrefix(raw, Scheme)
	if !ok {
		return nil, errURL
	}
	socket := ""
	if before, after, ok := strings.Cut(rest, "unix("); ok {
		path, tail, ok := strings.Cut(after, ")")
		if !ok {
			return nil, errURL
		}
		rest, socket = before+"localhost"+tail, path
	}
	u, err := url.Parse(Scheme + rest)
	if err != nil || u.Host == "" || strings.Trim(u.Path, "/") == "" {
		return nil, errURL
	}
	cfg, err := mysql.ParseDSN("/?" + u.RawQuery)
	if err != nil {
		return nil, errors.New("mysql: the URL's parameters, behind the ?, cannot be read; they are those of go-sql-driver, such as tls=true")
	}
	cfg.User = u.User.Username()
	cfg.Passwd, _ = u.User.Password()
	cfg.DBName = strings.Trim(u.Path, "/")
	cfg.Net, cfg.Addr = "tcp", u.Host
	if u.Port() == "" {
		cfg.Addr = net.JoinHostPort(u.Hostname(), "3306")
	}
	if socket != "" {
		cfg.Net, cfg.Addr = "unix", socket
	}
	return cfg, nil
}

// Parameter is what a URL says behind its ?, empty when it does not.
func Parameter(raw, name string) string {
	_, query, _ := strings.Cut(raw, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return ""
	}
	return values.Get(name)
}
