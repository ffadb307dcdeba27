// Package config reads the settings of the program: it alone looks at flags,
// the environment and the .env file.
//
// A flag wins over the environment, the environment over .env, and .env over
// the defaults. An empty value stands for the default, and hides what a weaker
// place says. Each setting is one field of [Config] or [Client]; its tags are
// the one place where its variable, flag, default and help are written.
package config

import (
	"cmp"
	"log/slog"
	"slices"
	"time"
)

// Engine says what carries the queue.
type Engine string

// The engines.
const (
	EngineEmbedded Engine = "embedded" // in this process
	EngineManaged  Engine = "managed"  // redis-server or valkey-server as a child
	EngineRedis    Engine = "redis"    // a server that somebody else runs
)

// DefaultListen is the address that a server listens on when nobody says
// otherwise.
const DefaultListen = "127.0.0.1:8080"

// Config has the settings of a server: of `evalq serve` and `evalq demo`.
type Config struct {
	// Listen is the address of the API, the dashboard and the health checks,
	// host:port; port 0 is any free one. Beyond loopback it needs an
	// OperatorToken. Defaults to 127.0.0.1:8080 with the role api or dashboard,
	// else none.
	Listen string `env:"LISTEN" flag:"listen" shown:"127.0.0.1:8080 with the role api or dashboard, else none" help:"address of the API, the dashboard and the health checks; beyond loopback it needs an operator token"`

	// MaxConnections is how many HTTP connections are open at once. 0 is half of the
	// process's limit of open files, from 16 to 4,096. Defaults to 0.
	MaxConnections int `env:"MAX_CONNECTIONS" envDefault:"0" flag:"max-connections" help:"HTTP connections that are open at once; 0 is half of the limit of open files, 4096 at most"`

	// ConnectionsPerAddress is how many connections of one address, not signed in,
	// may wait for their client. 0 is a quarter of MaxConnections. Defaults to 0.
	ConnectionsPerAddress int `env:"CONNECTIONS_PER_ADDRESS" envDefault:"0" flag:"connections-per-address" help:"HTTP connections of one address beyond loopback, not signed in, that may wait for their client; 0 is a quarter of all"`

	// DataDir is the folder of the ledger and of a managed engine, absolute
	// after Load. Defaults to $XDG_DATA_HOME/evalq, else ~/.local/share/evalq.
	DataDir string `env:"DATA_DIR" flag:"data-dir" shown:"$XDG_DATA_HOME/evalq, else ~/.local/share/evalq" help:"folder of the ledger; one process at a time"`

	// LedgerURL is the database of the ledger, and may have a password in it.
	// Defaults to none: SQLite in the data folder.
	LedgerURL string `env:"LEDGER_URL" flag:"ledger-url" secret:"file" shown:"none: SQLite in the data folder" help:"postgres:// or mysql:// URL of a ledger that many processes share; it needs a Redis URL too"`

	// Engine carries the queue. Defaults to redis with a Redis URL, else embedded.
	Engine Engine `env:"ENGINE" flag:"engine" shown:"redis with a Redis URL, else embedded" help:"what carries the queue: embedded, managed or redis"`

	// RedisURL is the server of the engine redis, and may have a password in it.
	// The variable REDIS_URL stands in when no other place sets it, unless
	// Engine is set to another one. Defaults to none.
	RedisURL string `env:"REDIS_URL" flag:"redis-url" secret:"file" shown:"none" help:"redis://, rediss:// or unix:// URL of a Redis 6.2+ or Valkey to use as engine; REDIS_URL is honoured too"`

	// Namespace begins the names of the queues in Redis, so that several ledgers
	// can share one. Defaults to none.
	Namespace string `env:"NAMESPACE" flag:"namespace" shown:"none" help:"begins the names of the queues in Redis: with staging they are staging:default and so on"`

	// ManagedBinary is the server program of the engine managed. Defaults to
	// valkey-server, else redis-server, from PATH.
	ManagedBinary string `env:"MANAGED_BINARY" flag:"managed-binary" shown:"valkey-server, else redis-server, from PATH" help:"server program of the managed engine"`

	// Concurrency is how many jobs run at the same time. Defaults to 10.
	Concurrency int `env:"CONCURRENCY" envDefault:"10" flag:"concurrency" help:"jobs that run at the same time, 1 to 10000"`

	// StrictPriority runs a lower queue only while the higher ones are empty,
	// in place of 6:3:1. Defaults to false.
	StrictPriority bool `env:"STRICT_PRIORITY" envDefault:"false" flag:"strict-priority" help:"run a lower queue only while the higher ones are empty, in place of 6:3:1"`

	// Window is how many tasks wait in the engine for each queue; the others
	// wait in the ledger. 0 is 2,000 on the embedded engine and 20,000 on the
	// others. Defaults to 0.
	Window int `env:"WINDOW" envDefault:"0" flag:"window" help:"tasks of a queue that wait in the engine, the others wait in the ledger; 0 is 2000 on the embedded engine and 20000 on the others"`

	// PlatformDB is the interview platform's own database, from which interviews
	// come and into which results go. It may have a password in it. Defaults to
	// none: interviews are in the ledger alone.
	PlatformDB string `env:"PLATFORM_DB" flag:"platform-db" secret:"file" shown:"none: interviews are in the ledger alone" help:"mysql:// URL of the interview platform's own database: interviews come from its tables, results go into them"`
	// PlatformEndpoints serves the platform's two addresses for results. Defaults
	// to false.
	PlatformEndpoints bool `env:"PLATFORM_ENDPOINTS" envDefault:"false" flag:"platform-endpoints" help:"serve results at the platform's own addresses too, such as /api/mianshi/evaluation; needs the role api"`
	// InterviewWait is how long a job waits for an interview that does not
	// exist yet before it is dead. Defaults to 24h.
	InterviewWait time.Duration `env:"INTERVIEW_WAIT" envDefault:"24h" flag:"interview-wait" help:"how long a job waits for an interview that does not exist yet"`

	// KindWait is how long a job waits for a worker that handles its kind, while
	// other workers are at work, before it is dead. Defaults to 24h.
	KindWait time.Duration `env:"KIND_WAIT" envDefault:"24h" flag:"kind-wait" help:"how long a job whose kind no worker handles waits for one that does, while other workers are at work"`

	// Retention is how long the engine remembers a finished task, for
	// Asynqmon's page of completed ones. Results stay in the ledger whatever
	// it is. Defaults to 1h.
	Retention time.Duration `env:"RETENTION" envDefault:"1h" flag:"retention" help:"how long Asynqmon shows a finished task; results stay in the ledger"`

	// History is how long the events and attempts of a finished job are kept. The
	// job and its result stay. 0 keeps them for ever. Defaults to 2160h, 90 days.
	History time.Duration `env:"HISTORY" envDefault:"2160h" flag:"history" help:"how long the events and attempts of a finished job are kept, its result stays; 0 keeps them for ever"`

	// ShutdownTimeout is how long a stop waits for running jobs before it hands
	// them back. It must exceed one call to a model, 2 minutes, so that the
	// answer in work is saved and not paid for again; the answers before it are
	// saved already. Defaults to 5m, which has room for a call and one repeat.
	ShutdownTimeout time.Duration `env:"SHUTDOWN_TIMEOUT" envDefault:"5m" flag:"shutdown-timeout" help:"how long a stop waits for running jobs before it hands them back, over 2m"`

	// OperatorToken signs in people and programs that may change things, and
	// has 8 characters or more. Defaults to none.
	OperatorToken string `env:"OPERATOR_TOKEN" flag:"operator-token" secret:"only-file" shown:"none" help:"token of those who may change things"`

	// ViewerToken signs in people who may only look. Defaults to none.
	ViewerToken string `env:"VIEWER_TOKEN" flag:"viewer-token" secret:"only-file" shown:"none" help:"token of those who may only look"`

	// Roles are the parts of evalq that this process runs: all, or some of api,
	// worker, relay and dashboard; and bridge beside them or alone. Defaults to all.
	Roles []string `env:"ROLES" envDefault:"all" flag:"roles" help:"parts to run in this process: all, or some of api, worker, relay and dashboard, and bridge beside all, beside some, or alone; a SQLite ledger needs all"`

	// BridgeRedisURL is the Redis on whose channels old programs publish, and may
	// have a password in it. With it, all has the role bridge too. Defaults to the
	// Redis URL.
	BridgeRedisURL string `env:"BRIDGE_REDIS_URL" flag:"bridge-redis-url" secret:"file" shown:"the Redis URL" help:"Redis on whose channels old programs publish, for the role bridge, which all then has too"`

	// BridgePrefixes begin the names of those channels. Defaults to
	// interview:messages:.
	BridgePrefixes []string `env:"BRIDGE_PREFIX" envDefault:"interview:messages:" flag:"bridge-prefix" help:"what the names of those channels begin with, several separated by commas"`

	// BridgeShadow has the bridge compare and submit nothing. Defaults to false.
	BridgeShadow bool `env:"BRIDGE_SHADOW" envDefault:"false" flag:"bridge-shadow" help:"the bridge submits nothing and counts of how many messages the ledger has the job"`

	// LogLevel is the least level that is logged. Defaults to info.
	LogLevel slog.Level `env:"LOG_LEVEL" envDefault:"info" flag:"log-level" help:"debug, info, warn or error"`

	// LogFormat is text or json. Defaults to text.
	LogFormat string `env:"LOG_FORMAT" envDefault:"text" flag:"log-format" help:"text or json"`
}

// The roles.
const (
	RoleAPI       = "api"
	RoleWorker    = "worker"
	RoleRelay     = "relay"
	RoleDashboard = "dashboard"
	RoleBridge    = "bridge"
)

// Runs reports whether this process has the role. All has the role bridge only when
// it is told which Redis that is about.
func (c *Config) Runs(role string) bool {
	all := slices.Contains(c.Roles, "all") && (role != RoleBridge || c.BridgeRedisURL != "")
	return all || slices.Contains(c.Roles, role)
}

// BridgeURL is the Redis that the role bridge subscribes to.
func (c *Config) BridgeURL() string { return cmp.Or(c.BridgeRedisURL, c.RedisURL) }

// Client has the settings of the verbs that talk to a server.
type Client struct {
	// URL is where the server answers, without a slash at its end. Defaults to
	// http://127.0.0.1:8080.
	URL string `env:"URL" envDefault:"http://127.0.0.1:8080" flag:"url" help:"where evalq serve answers"`

	// Token signs in to the server. Defaults to none.
	Token string `env:"TOKEN" flag:"token" secret:"only-file" shown:"none" help:"token to sign in with"`
}
