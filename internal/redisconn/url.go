package redisconn

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// address is a Redis URL taken apart. Its fields are decoded.
type address struct {
	scheme   string // redis, rediss or unix
	user     string
	password string
	host     string // without brackets; empty for unix
	port     int
	path     string // of the socket; empty but for unix
	db       int
	dbGiven  bool // db was said, rather than left at 0
	tuning   tuning
}

// tuning has what the query of a URL may set. Zero is "not said".
type tuning struct {
	dialTimeout  time.Duration
	readTimeout  time.Duration
	writeTimeout time.Duration
	poolSize     int
	skipVerify   bool
	files        map[string]string // of TLS, by option
}

// queryKeys are the options of a URL, in the order in which they are shown.
var queryKeys = []string{"db", "dial_timeout", "read_timeout", "write_timeout", "pool_size", "skip_verify", "ca_file", "cert_file", "key_file", "server_name"}

const (
	defaultPort = 6379
	maxPoolSize = 10_000
	maxDB       = 1<<31 - 1
)

// parseAddress reads a Redis URL. Its errors have nothing of the URL in them
// but what cannot be a part of a password: whoever forgets to encode a
// password makes us mistake a part of it for a host, a port or an option.
func parseAddress(raw string) (address, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return address{}, errors.New("it must begin with redis://, rediss:// or unix://")
	}
	a := address{scheme: strings.ToLower(scheme)}
	switch a.scheme {
	case "redis", "rediss", "unix":
	case "redis-socket":
		a.scheme = "unix"
	default:
		return address{}, errors.New("its scheme must be redis, rediss or unix")
	}
	if strings.Contains(rest, "#") {
		return address{}, errors.New("it has a # in it: write %23 where the password has one")
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, path, slash := strings.Cut(rest, "/")
	if strings.Contains(path, "@") || strings.Contains(query, "@") {
		return address{}, errors.New("it has an @ after the host: in a password write %2F for /, %3F for ? and %23 for #; elsewhere %40 for @")
	}
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		if err := a.setCredentials(authority[:at]); err != nil {
			return address{}, err
		}
		authority = authority[at+1:]
	}
	if err := a.setPlace(authority, path, slash); err != nil {
		return address{}, err
	}
	if err := a.setQuery(query); err != nil {
		return address{}, err
	}
	return a, nil
}

func (a *address) setCredentials(s string) error {
	user, password, _ := strings.Cut(s, ":")
	var err1, err2 error
	a.user, err1 = url.PathUnescape(user)
	a.password, err2 = url.PathUnescape(password)
	if err1 != nil || err2 != nil {
		return errors.New("its user name or password has a % that is not followed by two hexadecimal digits: write %25 for %")
	}
	if a.password == "" {
		return errors.New("it has an @ but no password: write redis://:password@host or redis://user:password@host")
	}
	return nil
}

func (a *address) setPlace(authority, path string, slash bool) error {
	if a.scheme == "unix" {
		return a.setSocket(authority, path)
	}
	if err := a.setHost(authority); err != nil {
		return err
	}
	if !slash || path == "" {
		return nil
	}
	db, err := parseDB(path)
	if err != nil {
		return errors.New("after the host it may only have / and the number of a database")
	}
	a.db, a.dbGiven = db, true
	return nil
}

func (a *address) setSocket(authority, path string) error {
	if authority != "" || path == "" {
		return errors.New("a socket needs an absolute path, so three slashes: unix:///run/redis.sock")
	}
	decoded, err := url.PathUnescape(path)
	if err != nil {
		return errors.New("the socket's path has a % that is not followed by two hexadecimal digits: write %25 for %")
	}
	if strings.ContainsRune(decoded, 0) {
		return errors.New("the socket's path has a NUL byte in it")
	}
	a.path = "/" + decoded
	return nil
}

func (a *address) setHost(s string) error {
	host, port := s, ""
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 || net.ParseIP(s[1:end]) == nil {
			return errors.New("in [] it must have an IPv6 address")
		}
		host, port = s[1:end], s[end+1:]
	} else {
		if colon := strings.IndexByte(s, ':'); colon >= 0 {
			host, port = s[:colon], s[colon:]
		}
		if !isHostName(host) {
			return errors.New("it must name a host, after the @ if it has a password: redis://host:6379, redis://:password@host:6379; " +
				"in a password write %2F for /, %3F for ? and %23 for #")
		}
	}
	a.host, a.port = host, defaultPort
	if port == "" || port == ":" {
		return nil
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(port, ":"), 10, 16)
	if err != nil || n == 0 || port[0] != ':' {
		return errors.New("the port must be a number from 1 to 65535")
	}
	a.port = int(n)
	return nil
}

func isHostName(s string) bool {
	other := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._", r))
	}
	return s != "" && strings.IndexFunc(s, other) < 0
}

func parseDB(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), err
}

func (a *address) setQuery(query string) error {
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		if !slices.Contains(queryKeys, key) {
			return a.unknownOption(key)
		}
		if seen[key] {
			return fmt.Errorf("it gives %s twice", key)
		}
		seen[key] = true
		if err := a.setOption(key, value); err != nil {
			return err
		}
	}
	return nil
}

// unknownOption names the option only where it cannot be the tail of a
// password that has a bare ? in it: after an @, of which the last is known.
func (a *address) unknownOption(key string) error {
	name := "an option"
	if a.password != "" {
		name = fmt.Sprintf("the option %q", key)
	}
	return fmt.Errorf("it has %s that is not known: the known ones are %s", name, strings.Join(queryKeys, ", "))
}

func (a *address) setOption(key, value string) error {
	switch key {
	case "db":
		n, err := parseDB(value)
		if err != nil {
			return fmt.Errorf("db must be a number from 0 to %d", maxDB)
		}
		if a.dbGiven && a.db != n {
			return errors.New("it names two databases, one after the host and one as db")
		}
		a.db, a.dbGiven = n, true
	case "pool_size":
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > maxPoolSize {
			return fmt.Errorf("pool_size must be a number from 1 to %d", maxPoolSize)
		}
		a.tuning.poolSize = n
	case "skip_verify":
		on, err := strconv.ParseBool(value)
		if err != nil {
			return errors.New("skip_verify must be true or false")
		}
		if on && a.scheme != "rediss" {
			return errors.New("skip_verify is for rediss://, the others have no certificate to verify")
		}
		a.tuning.skipVerify = on
	case "ca_file", "cert_file", "key_file", "server_name":
		text, err := url.QueryUnescape(value)
		if err != nil || text == "" {
			return fmt.Errorf("%s needs a value, percent-encoded", key)
		}
		if a.scheme != "rediss" {
			return fmt.Errorf("%s is for rediss://, the others have no TLS", key)
		}
		if a.tuning.files == nil {
			a.tuning.files = map[string]string{}
		}
		a.tuning.files[key] = text
	default:
		d, err := time.ParseDuration(value)
		if err != nil || d < time.Millisecond || d > time.Hour {
			return fmt.Errorf("%s must be a time from 1ms to 1h, such as 5s", key)
		}
		*map[string]*time.Duration{
			"dial_timeout":  &a.tuning.dialTimeout,
			"read_timeout":  &a.tuning.readTimeout,
			"write_timeout": &a.tuning.writeTimeout,
		}[key] = d
	}
	return nil
}

// format writes the address as a URL that parseAddress reads back, with the
// given text in place of the password.
func (a address) format(password string) string {
	var b strings.Builder
	b.WriteString(a.scheme + "://")
	if a.password != "" {
		b.WriteString(encode(a.user) + ":" + password + "@")
	}
	switch {
	case a.scheme == "unix":
		segments := strings.Split(a.path, "/")
		for i, s := range segments {
			segments[i] = encode(s)
		}
		b.WriteString(strings.Join(segments, "/"))
		if a.db != 0 {
			fmt.Fprintf(&b, "?db=%d", a.db)
		}
	default:
		fmt.Fprintf(&b, "%s/%d", net.JoinHostPort(a.host, strconv.Itoa(a.port)), a.db)
	}
	return b.String()
}

// encode percent-encodes all but the characters that no part of a URL gives a
// meaning to. url.PathEscape leaves @ and : alone.
func encode(s string) string {
	return strings.NewReplacer("@", "%40", ":", "%3A").Replace(url.PathEscape(s))
}

// Redacted returns a Redis URL for people and logs: without its password and
// its query, its other parts spelled out. Of what cannot be understood it
// shows nothing, since any part of that may be of a password.
func Redacted(rawURL string) string {
	a, err := parseAddress(rawURL)
	if err == nil {
		return a.format("***")
	}
	scheme, _, _ := strings.Cut(rawURL, "://")
	switch s := strings.ToLower(scheme); s {
	case "redis", "rediss", "unix", "redis-socket":
		return s + "://***"
	}
	return "***"
}

// PlainHost is the host that a Redis URL reaches without TLS; empty when it uses TLS
// or a socket, or cannot be read.
func PlainHost(rawURL string) string {
	if a, err := parseAddress(rawURL); err == nil && a.scheme == "redis" {
		return a.host
	}
	return ""
}
