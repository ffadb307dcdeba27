// Package mysqlurl reads the URLs that name a database of MySQL or MariaDB.
package mysqlurl

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"evalq/internal/zone"
)

// Scheme begins such a URL.
const Scheme = "mysql://"

var errURL = errors.New("mysql: the URL cannot be read; write it like mysql://user:password@host:3306/database")

// Parse reads a mysql:// URL: user, password, host and port, or a socket as
// unix(/path), and the database. Parameters are those of go-sql-driver, such as
// tls=true, and for TLS by files ssl-ca, ssl-cert, ssl-key and server-name, which
// are read for each connection anew, and once here. Its error has no part of a password in it.
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
	query, files, err := ofTLS(u.RawQuery)
	if err != nil {
		return nil, err
	}
	cfg, err := parameters(query)
	if err != nil {
		return nil, err
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
	if files != nil {
		if err := withTLS(cfg, u.Hostname(), *files); err != nil {
			return nil, err
		}
	}
	return cfg, nil
}

// parameters reads what stands behind the ?. Its error names the parameter and, of a
// time zone alone, the value.
func parameters(query string) (*mysql.Config, error) {
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if pair == "" {
			continue
		}
		if name == "loc" {
			if err := checkZone(value); err != nil {
				return nil, err
			}
		}
		// The driver takes the last slash for the one before the database.
		pair = name + "=" + strings.ReplaceAll(value, "/", "%2F")
		if _, err := mysql.ParseDSN("/?" + pair); err != nil {
			return nil, fmt.Errorf("mysql: the parameter %.40q of the URL has a value that cannot be used; the parameters are those of go-sql-driver, such as tls=true", name)
		}
		kept = append(kept, pair)
	}
	cfg, err := mysql.ParseDSN("/?" + strings.Join(kept, "&"))
	if err != nil {
		return nil, errors.New("mysql: the URL's parameters, behind the ?, do not go together; they are those of go-sql-driver, such as tls=true")
	}
	return cfg, nil
}

func checkZone(escaped string) error {
	name, err := url.QueryUnescape(escaped)
	if err != nil {
		return errors.New(`mysql: the parameter "loc" of the URL cannot be read: write a zone as Asia%2FShanghai`)
	}
	if name == "Local" {
		if _, err := zone.Local(); err != nil {
			return fmt.Errorf("mysql: the parameter \"loc\" of the URL is Local, the zone of this process: %w", err)
		}
		return nil
	}
	if _, err := time.LoadLocation(name); err != nil {
		return fmt.Errorf("mysql: the parameter \"loc\" of the URL is %.60q, which is no time zone: use a name such as Asia/Shanghai, UTC or Local", name)
	}
	return nil
}

// Parameter is what a URL says behind its ?, empty when it does not. Of a parameter
// that is there more than once the last counts, as in Parse.
func Parameter(raw, name string) string {
	_, query, _ := strings.Cut(raw, "?")
	values, err := url.ParseQuery(query)
	if err != nil || len(values[name]) == 0 {
		return ""
	}
	return values[name][len(values[name])-1]
}
