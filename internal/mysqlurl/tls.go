package mysqlurl

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/go-sql-driver/mysql"

	"evalq/internal/tlsfiles"
)

// ofTLS takes the parameters about files of TLS, which the driver does not know,
// out of a URL's query. Files is nil when there are none.
func ofTLS(query string) (rest string, files *tlsfiles.Files, err error) {
	var f tlsfiles.Files
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		into := map[string]*string{"ssl-ca": &f.CA, "ssl-cert": &f.Cert, "ssl-key": &f.Key, "server-name": &f.ServerName}[name]
		if into == nil {
			kept = append(kept, pair)
			continue
		}
		if *into, err = url.QueryUnescape(value); err != nil || *into == "" {
			return "", nil, fmt.Errorf("mysql: the parameter %s of the URL needs a value, percent-encoded", name)
		}
		files = &f
	}
	return strings.Join(kept, "&"), files, nil
}

// withTLS heeds what tls= says beside the files: true, which they imply, and
// skip-verify.
func withTLS(cfg *mysql.Config, host string, f tlsfiles.Files) error {
	switch cfg.TLSConfig {
	case "", "true":
	case "skip-verify":
		f.SkipVerify = true
	default:
		return fmt.Errorf("mysql: the parameter tls=%.20s contradicts the files that are named for TLS: write tls=true, or leave it out", cfg.TLSConfig)
	}
	f.ServerName = cmp.Or(f.ServerName, host)
	settings, err := f.Config()
	if err != nil {
		return fmt.Errorf("mysql: TLS: %w", err)
	}
	cfg.TLS, cfg.TLSConfig = settings, ""
	return nil
}

// PlainHost is the host that a URL may reach without TLS: tls=preferred goes on
// without it when the server has none. It is empty for a socket, and for a URL that
// cannot be read.
func PlainHost(raw string) string {
	cfg, err := Parse(raw)
	if err != nil || cfg.Net != "tcp" || cfg.TLS != nil && !cfg.AllowFallbackToPlaintext {
		return ""
	}
	switch cfg.TLSConfig {
	case "", "false", "preferred":
	default:
		return ""
	}
	host, _, err := net.SplitHostPort(cfg.Addr)
	if err != nil {
		return cfg.Addr
	}
	return host
}
