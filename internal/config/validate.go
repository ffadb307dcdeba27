package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"evalq/internal/mysqlurl"
	"evalq/internal/redisconn"
)

const (
	maxConcurrency = 10_000
	maxWindow      = 1_000_000
	minConnections = 16
	maxConnections = 1_000_000
	modelCall      = 2 * time.Minute // the limit of one call to a model
	day            = 24 * time.Hour
	minToken       = 8
)

// roles are those that all stands for.
var roles = []string{RoleAPI, RoleWorker, RoleRelay, RoleDashboard}

func setting(field string) Setting {
	for _, s := range Table() {
		if s.Field == field {
			return s
		}
	}
	panic("config: no field " + field) // a slip in this package, found by its first test
}

// problem is an error about the value of a field.
func problem(field string, value any, format string, args ...any) error {
	return about(field, fmt.Errorf("config: %s is %v: %s", setting(field).name(), value, fmt.Sprintf(format, args...)))
}

// places are the settings that say where something is.
var places = []string{"Listen", "DataDir", "LedgerURL", "RedisURL", "BridgeRedisURL", "PlatformDB"}

// placeError is about one of places.
type placeError struct{ err error }

func (e *placeError) Error() string { return e.err.Error() }
func (e *placeError) Unwrap() error { return e.err }

func about(field string, err error) error {
	if err != nil && slices.Contains(places, field) {
		return &placeError{err}
	}
	return err
}

// IsPlace reports whether err is, perhaps among others, about a place that the
// server needs: where it listens, keeps its data or finds Redis. That is a
// failure to start, like a place that is taken or does not answer; any other
// error of Load is a mistake in the settings.
func IsPlace(err error) bool {
	var place *placeError
	return errors.As(err, &place)
}

// Validate checks each setting and how they go together. The error has a line
// for each thing that is wrong, with the flag and what to do.
func (c *Config) Validate() error {
	return errors.Join(
		c.validateListen(),
		c.validateTokens(),
		c.validateLedger(),
		c.validatePlatform(),
		c.validateEngine(),
		c.validateRoles(),
		c.validateBridge(),
		c.validateNumbers(),
		c.validateTimes(),
		c.validateLog(),
	)
}

func (c *Config) validateListen() error {
	if c.Listen == "" && !c.Runs(RoleAPI) && !c.Runs(RoleDashboard) {
		return nil // nothing to show
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return problem("Listen", strconv.Quote(c.Listen), "it must be host:port, such as 127.0.0.1:8080 or :8080")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return problem("Listen", strconv.Quote(c.Listen), "its port must be a number from 0 to 65535")
	}
	if !isLoopback(host) && c.OperatorToken == "" {
		return problem("Listen", strconv.Quote(c.Listen),
			"other machines could reach it, and no credentials are set: set %s, or listen on 127.0.0.1", setting("OperatorToken").name())
	}
	return nil
}

// isLoopback takes a name other than localhost for one that others reach.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

func (c *Config) validateTokens() error {
	errs := []error{checkToken("OperatorToken", c.OperatorToken), checkToken("ViewerToken", c.ViewerToken)}
	switch {
	case c.ViewerToken == "":
	case c.OperatorToken == "":
		errs = append(errs, problem("ViewerToken", "set", "then operators need one too: set %s", setting("OperatorToken").name()))
	case c.ViewerToken == c.OperatorToken:
		errs = append(errs, problem("ViewerToken", "the operators' one", "viewers would be operators: choose another"))
	}
	return errors.Join(errs...)
}

func checkToken(field, token string) error {
	if token == "" {
		return nil
	}
	unfit := func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsGraphic(r) || r == ' ' }
	if len(token) < minToken || strings.IndexFunc(token, unfit) >= 0 {
		return problem(field, "unfit", "a token has %d or more characters, of ASCII and without spaces", minToken)
	}
	return nil
}

var namespacePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,31}$`)

func (c *Config) validateLedger() error {
	var errs []error
	if c.Namespace != "" && !namespacePattern.MatchString(c.Namespace) {
		errs = append(errs, problem("Namespace", strconv.Quote(c.Namespace), "use 1 to 32 lower-case letters, digits, dots, dashes and underscores, beginning with a letter or digit"))
	}
	if c.LedgerURL == "" {
		return errors.Join(errs...)
	}
	switch scheme, _, _ := strings.Cut(c.LedgerURL, "://"); scheme {
	case "postgres", "postgresql", "mysql":
	default:
		errs = append(errs, problem("LedgerURL", "unfit", "it must begin with postgres:// or mysql://; without it the ledger is a SQLite file in %s", setting("DataDir").name()))
	}
	if c.Engine != EngineRedis {
		errs = append(errs, problem("LedgerURL", "set", "then the processes that share it have to share a Redis too: set %s", setting("RedisURL").name()))
	}
	return errors.Join(errs...)
}

func (c *Config) validatePlatform() error {
	var errs []error
	if c.PlatformDB != "" {
		if _, err := mysqlurl.Parse(c.PlatformDB); err != nil {
			errs = append(errs, problem("PlatformDB", "unfit", "%v", err))
		}
	}
	if c.PlatformEndpoints && !c.Runs(RoleAPI) {
		errs = append(errs, problem("PlatformEndpoints", true, "it is the role %s that serves them: add it to %s, or drop this", RoleAPI, setting("Roles").name()))
	}
	return errors.Join(errs...)
}

func (c *Config) validateEngine() error {
	var errs []error
	switch c.Engine {
	case EngineEmbedded, EngineManaged:
		if c.RedisURL != "" {
			errs = append(errs, problem("Engine", strconv.Quote(string(c.Engine)),
				"that contradicts %s, which is %s: drop one of them", setting("RedisURL").name(), redisconn.Redacted(c.RedisURL)))
		}
	case EngineRedis:
		if c.RedisURL == "" {
			errs = append(errs, problem("Engine", strconv.Quote(string(c.Engine)), "then say where it is: set %s", setting("RedisURL").name()))
		}
	default:
		errs = append(errs, problem("Engine", strconv.Quote(string(c.Engine)), "it must be embedded, managed or redis"))
	}
	if c.RedisURL != "" {
		if _, err := redisconn.Parse(c.RedisURL); err != nil {
			errs = append(errs, problem("RedisURL", "unfit", "%v", err))
		}
	}
	if c.ManagedBinary != "" && c.Engine != EngineManaged {
		errs = append(errs, problem("ManagedBinary", strconv.Quote(c.ManagedBinary), "it is for the engine managed only: set %s to managed, or drop it", setting("Engine").name()))
	}
	if c.DataDir == "" {
		errs = append(errs, problem("DataDir", "not known", "there is no home folder to put it in: set it"))
	}
	return errors.Join(errs...)
}

func (c *Config) validateRoles() error {
	value := strconv.Quote(strings.Join(c.Roles, ","))
	parts := slices.DeleteFunc(slices.Clone(c.Roles), func(r string) bool { return r == RoleBridge })
	if slices.Equal(parts, []string{"all"}) {
		return nil
	}
	for _, role := range parts {
		if !slices.Contains(roles, role) {
			return problem("Roles", value, "it must be all, or some of %s, and %s beside them or alone", strings.Join(roles, ", "), RoleBridge)
		}
	}
	if c.LedgerURL != "" {
		return nil
	}
	all := "all"
	if len(parts) < len(c.Roles) {
		all = "all,bridge"
	}
	for _, role := range roles {
		if !slices.Contains(parts, role) {
			return problem("Roles", value, "without %s another process would have to share the ledger, "+
				"and a SQLite ledger belongs to one process: run %s, or set %s", role, all, setting("LedgerURL").name())
		}
	}
	return nil
}

func (c *Config) validateBridge() error {
	var errs []error
	if c.BridgeRedisURL != "" {
		if _, err := redisconn.Parse(c.BridgeRedisURL); err != nil {
			errs = append(errs, problem("BridgeRedisURL", "unfit", "%v", err))
		}
	}
	if c.Runs(RoleBridge) && c.BridgeURL() == "" {
		errs = append(errs, problem("Roles", strconv.Quote(strings.Join(c.Roles, ",")), "the role bridge needs the Redis that old programs publish to: set %s", setting("BridgeRedisURL").name()))
	}
	for i, p := range c.BridgePrefixes {
		if p == "" || len(p) > 100 || strings.ContainsFunc(p, func(r rune) bool { return r <= ' ' || r > '~' }) || slices.Contains(c.BridgePrefixes[:i], p) {
			errs = append(errs, problem("BridgePrefixes", strconv.Quote(strings.Join(c.BridgePrefixes, ",")),
				"each must be 1 to 100 printable ASCII characters without spaces, given once, such as interview:messages:"))
			break
		}
	}
	return errors.Join(errs...)
}

func (c *Config) validateNumbers() error {
	var errs []error
	if c.Concurrency < 1 || c.Concurrency > maxConcurrency {
		errs = append(errs, problem("Concurrency", c.Concurrency, "it must be from 1 to %d", maxConcurrency))
	}
	if c.Window < 0 || c.Window > maxWindow {
		errs = append(errs, problem("Window", c.Window, "it must be from 1 to %d, or 0 for the engine's own", maxWindow))
	}
	if c.MaxConnections != 0 && (c.MaxConnections < minConnections || c.MaxConnections > maxConnections) {
		errs = append(errs, problem("MaxConnections", c.MaxConnections, "it must be from %d to %d, or 0 for half of the limit of open files", minConnections, maxConnections))
	}
	if c.ConnectionsPerAddress < 0 || c.ConnectionsPerAddress > maxConnections {
		errs = append(errs, problem("ConnectionsPerAddress", c.ConnectionsPerAddress, "it must be from 1 to %d, or 0 for a quarter of all", maxConnections))
	}
	return errors.Join(errs...)
}

func (c *Config) validateTimes() error {
	var errs []error
	for _, t := range []struct {
		field       string
		value       time.Duration
		least, most time.Duration
	}{
		{"InterviewWait", c.InterviewWait, time.Second, 365 * day},
		{"KindWait", c.KindWait, time.Second, 365 * day},
		{"Retention", c.Retention, time.Minute, 90 * day},
	} {
		if t.value < t.least || t.value > t.most {
			errs = append(errs, problem(t.field, t.value, "it must be from %v to %v", t.least, t.most))
		}
	}
	if c.History != 0 && (c.History < day || c.History > 100*365*day) {
		errs = append(errs, problem("History", c.History, "it must be 24h or more, or 0 for ever"))
	}
	if c.ShutdownTimeout <= modelCall || c.ShutdownTimeout > day {
		errs = append(errs, problem("ShutdownTimeout", c.ShutdownTimeout,
			"it must be over %v, the longest call to a model, which would be paid for again; and at most %v", modelCall, day))
	}
	return errors.Join(errs...)
}

func (c *Config) validateLog() error {
	if c.LogFormat != "text" && c.LogFormat != "json" {
		return problem("LogFormat", strconv.Quote(c.LogFormat), "it must be text or json")
	}
	return nil
}

// Validate checks the address and the token. Its error has neither, if the
// address has a password in it.
func (c *Client) Validate() error {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "":
		err = problem("URL", "unfit", "it must be http:// or https:// and a host, such as http://127.0.0.1:8080, and no more than a path after it")
	case u.User != nil:
		err = problem("URL", "unfit", "it has a user or password in it: sign in with %s", setting("Token").name())
	}
	return errors.Join(err, checkToken("Token", c.Token))
}
