// Package redisconn opens the one Redis client that a process shares.
//
// It reads Redis URLs itself, because the readers that come with the client
// and with asynq lose user names or characters of passwords, and it proves a
// server fit before anything depends on it.
package redisconn

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"evalq/internal/tlsfiles"
)

// Config has the settings of [Open]. What the URL says in its query wins.
type Config struct {
	// ConnectTimeout bounds all that Open does. Defaults to 4s.
	ConnectTimeout time.Duration
	// DialTimeout bounds one attempt to connect, then and later. Defaults to 3s.
	DialTimeout time.Duration
	// PoolSize is how many connections are kept for use in parallel. Defaults
	// to 10 for each CPU.
	PoolSize int
	// ClientName is what CLIENT LIST on the server calls our connections.
	// Defaults to evalq.
	ClientName string
}

func (c *Config) withDefaults() (Config, error) {
	var d Config
	if c != nil {
		d = *c
	}
	switch {
	case d.ConnectTimeout < 0:
		return Config{}, fmt.Errorf("redisconn: Config.ConnectTimeout is %v, it cannot be negative", d.ConnectTimeout)
	case d.DialTimeout < 0:
		return Config{}, fmt.Errorf("redisconn: Config.DialTimeout is %v, it cannot be negative", d.DialTimeout)
	case d.PoolSize < 0:
		return Config{}, fmt.Errorf("redisconn: Config.PoolSize is %d, it cannot be negative", d.PoolSize)
	}
	if d.ConnectTimeout == 0 {
		d.ConnectTimeout = 4 * time.Second
	}
	if d.DialTimeout == 0 {
		d.DialTimeout = 3 * time.Second
	}
	if d.ClientName == "" {
		d.ClientName = "evalq"
	}
	return d, nil
}

// Parse reads a Redis URL:
//
//	redis://[[user]:password@]host[:port][/db][?options]
//	rediss://…                                 the same over TLS
//	unix://[[user]:password@]/path[?options]   redis-socket:// means the same
//
// User name, password and path are percent-decoded and otherwise kept as they
// are. The options are db, dial_timeout, read_timeout, write_timeout (such as
// 5s), pool_size, and for TLS skip_verify=true, which accepts any certificate,
// ca_file, which names the authorities to trust, cert_file and key_file, the
// client's own certificate, and server_name; an unknown one is an error. The files
// are read for each connection anew, and once here. No error has a part of the
// password in it.
//
// The result honours the deadlines of contexts. Set nothing in it that the
// URL can say.
func Parse(rawURL string) (*redis.Options, error) {
	a, err := parseAddress(rawURL)
	if err != nil {
		return nil, fmt.Errorf("redisconn: read the Redis URL %q: %w", Redacted(rawURL), err)
	}
	o, err := a.options()
	if err != nil {
		return nil, fmt.Errorf("redisconn: read the Redis URL %q: %w", Redacted(rawURL), err)
	}
	return o, nil
}

func (a address) options() (*redis.Options, error) {
	o := &redis.Options{
		Network:               "tcp",
		Addr:                  net.JoinHostPort(a.host, strconv.Itoa(a.port)),
		Username:              a.user,
		Password:              a.password,
		DB:                    a.db,
		ContextTimeoutEnabled: true,
		DialTimeout:           a.tuning.dialTimeout,
		ReadTimeout:           a.tuning.readTimeout,
		WriteTimeout:          a.tuning.writeTimeout,
		PoolSize:              a.tuning.poolSize,
	}
	switch a.scheme {
	case "unix":
		o.Network, o.Addr = "unix", a.path
	case "rediss":
		files := tlsfiles.Files{
			CA: a.tuning.files["ca_file"], Cert: a.tuning.files["cert_file"], Key: a.tuning.files["key_file"],
			ServerName: cmp.Or(a.tuning.files["server_name"], a.host),
			SkipVerify: a.tuning.skipVerify, // said in the URL by who runs the server
		}
		var err error
		if o.TLSConfig, err = files.Config(); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// Open connects to the server at rawURL and checks that evalq can work with
// it: it answers, accepts our credentials, and is Redis 6.2 or newer or speaks
// as such. It takes at most cfg.ConnectTimeout. The error says what to do and
// names the URL without its password.
//
// The client is a *redis.Client, safe for concurrent use. The caller closes it
// after everything that uses it has ended.
func Open(ctx context.Context, rawURL string, cfg *Config) (redis.UniversalClient, error) {
	c, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	o, err := Parse(rawURL)
	if err != nil {
		return nil, err
	}
	tune(o, c)
	ctx, cancel := context.WithTimeout(ctx, c.ConnectTimeout)
	defer cancel()
	if err := check(ctx, o); err != nil {
		return nil, fmt.Errorf("redisconn: connect to %s: %w", Redacted(rawURL), err)
	}
	Guard(o)
	return redis.NewClient(o), nil
}

// New is Open without its checks: the client connects when it is used.
func New(rawURL string, cfg *Config) (*redis.Client, error) {
	c, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	o, err := Parse(rawURL)
	if err != nil {
		return nil, err
	}
	tune(o, c)
	Guard(o)
	return redis.NewClient(o), nil
}

func tune(o *redis.Options, c Config) {
	o.ClientName = c.ClientName
	if o.DialTimeout == 0 {
		o.DialTimeout = c.DialTimeout
	}
	if o.PoolSize == 0 {
		o.PoolSize = c.PoolSize
	}
	o.Dialer = dialer(o)
}

// dialer stands in for the client's own, which over TLS ignores the context.
func dialer(o *redis.Options) func(context.Context, string, string) (net.Conn, error) {
	plain := &net.Dialer{Timeout: o.DialTimeout, KeepAlive: time.Minute}
	if o.TLSConfig == nil {
		return plain.DialContext
	}
	return (&tls.Dialer{NetDialer: plain, Config: o.TLSConfig}).DialContext
}

// LogTo sends the client library's own messages, such as repeated failures to
// connect, to log at the level debug. They otherwise go to standard error in a
// format of their own. The library has one such place for the whole process.
func LogTo(log *slog.Logger) { redis.SetLogger(libraryLog{log}) }

type libraryLog struct{ log *slog.Logger }

func (l libraryLog) Printf(ctx context.Context, format string, v ...any) {
	l.log.DebugContext(ctx, "redis client", "detail", fmt.Sprintf(format, v...))
}

// ConnOpt hands the shared client to what asks for an [asynq.RedisConnOpt],
// such as Asynqmon. Asynqmon's Close closes the client under everybody else:
// do not call it.
func ConnOpt(client redis.UniversalClient) asynq.RedisConnOpt { return connOpt{client} }

type connOpt struct{ client redis.UniversalClient }

// MakeRedisClient returns the client itself and no wrapper: Asynqmon has a
// page for servers only if it sees a *redis.Client.
func (o connOpt) MakeRedisClient() any { return o.client }
