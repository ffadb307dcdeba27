package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
	"github.com/joho/godotenv"
	"github.com/spf13/pflag"

	"evalq/internal/zone"
)

// DefaultDotenv is the .env file of the working directory. It alone may be
// missing.
const DefaultDotenv = ".env"

// maxSecret bounds what is read of a file with a secret.
const maxSecret = 64 << 10

// Load reads the settings of a server and validates them. The environment is
// in the form of [os.Environ]; flags may be nil; dotenvPath may be "" for
// none. It changes nothing in the environment. No error has a secret in it.
func Load(environ []string, flags *pflag.FlagSet, dotenvPath string) (*Config, error) {
	r, err := newReader(environ, flags, dotenvPath, settings(reflect.TypeFor[Config](), false))
	if err != nil {
		return nil, err
	}
	r.honourRedisURL()
	var c Config
	if err := r.fill(&c); err != nil {
		return nil, err
	}
	if err := c.complete(r.variable); err != nil {
		return nil, err
	}
	if err := errors.Join(c.Validate(), checkZone(r.environ)); err != nil {
		return nil, err
	}
	return &c, nil
}

// checkZone refuses a TZ that this process would read as UTC: the log and, without
// loc in its URL, the rows of a platform's database would be hours off.
func checkZone(environ map[string]string) error {
	if err := zone.CheckTZ(environ["TZ"]); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	return nil
}

// LoadDataDir reads where the data folder is, and nothing else, as [Load] does.
func LoadDataDir(environ []string, flags *pflag.FlagSet, dotenvPath string) (string, error) {
	r, err := newReader(environ, flags, dotenvPath, []Setting{setting("DataDir"), setting("LedgerURL")})
	if err != nil {
		return "", err
	}
	if r.values[setting("LedgerURL").Env] != "" {
		return "", problem("LedgerURL", "set", "then the ledger is in a database server and not in a folder: restore it with that server's own tools, or unset it")
	}
	c := Config{DataDir: r.values[setting("DataDir").Env]}
	if err := c.complete(r.variable); err != nil {
		return "", err
	}
	if c.DataDir == "" {
		return "", problem("DataDir", "not known", "there is no home folder to put it in: set it")
	}
	return c.DataDir, nil
}

// LoadClient reads the settings of a verb that talks to a server, as [Load]
// does those of a server.
func LoadClient(environ []string, flags *pflag.FlagSet, dotenvPath string) (*Client, error) {
	r, err := newReader(environ, flags, dotenvPath, settings(reflect.TypeFor[Client](), true))
	if err != nil {
		return nil, err
	}
	var c Client
	if err := r.fill(&c); err != nil {
		return nil, err
	}
	c.URL = strings.TrimRight(c.URL, "/")
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return &c, nil
}

// reader gathers the text of each setting from the weakest place to the
// strongest.
type reader struct {
	table   []Setting
	environ map[string]string
	dotenv  map[string]string
	values  map[string]string // by variable, without empty ones
}

func newReader(environ []string, flags *pflag.FlagSet, dotenvPath string, table []Setting) (*reader, error) {
	r := &reader{table: table, environ: map[string]string{}, values: map[string]string{}}
	for _, line := range environ {
		name, value, _ := strings.Cut(line, "=")
		r.environ[name] = value
	}
	var err error
	if r.dotenv, err = readDotenv(dotenvPath); err != nil {
		return nil, err
	}
	dropServiceLinks(r.environ)
	dropServiceLinks(r.dotenv)
	if err := errors.Join(refuseUnknown(r.environ, "the environment"), refuseUnknown(r.dotenv, dotenvPath)); err != nil {
		return nil, err
	}
	for _, s := range table {
		err := errors.Join(r.take(s, r.dotenv), r.take(s, r.environ), r.takeFlags(s, flags))
		if err != nil {
			return nil, err
		}
	}
	return r, nil
}

func readDotenv(path string) (map[string]string, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if path == DefaultDotenv && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("config: read the file of variables: %w", err)
	}
	defer f.Close()
	values, err := godotenv.Parse(f)
	if err != nil {
		// The cause quotes the rest of the file, secrets included.
		return nil, fmt.Errorf("config: read %q: it must have lines of the form NAME=value, with values that have spaces, # or $ in single quotes", path)
	}
	return values, nil
}

// refuseUnknown catches mistyped variables, which would go unnoticed.
func refuseUnknown(vars map[string]string, place string) error {
	var known []string
	for _, s := range Table() {
		known = append(known, s.Env)
		if s.FileEnv != "" {
			known = append(known, s.FileEnv)
		}
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		if !strings.HasPrefix(name, prefix) || slices.Contains(known, name) {
			continue
		}
		hint := "see the table of settings, or unset it"
		if s := suggestion(name, known); s != "" {
			hint = "did you mean " + s + "?"
		}
		errs = append(errs, fmt.Errorf("config: %s in %s is not a setting: %s", name, place, hint))
	}
	return errors.Join(errs...)
}

// take reads one setting from a set of variables.
func (r *reader) take(s Setting, vars map[string]string) error {
	value, given := vars[s.Env]
	file := ""
	if s.FileEnv != "" {
		file = vars[s.FileEnv]
	}
	return r.put(s, value, given, file, s.Env, s.FileEnv)
}

func (r *reader) takeFlags(s Setting, flags *pflag.FlagSet) error {
	value, given := changed(flags, s.Flag)
	file, _ := changed(flags, s.FileFlag)
	return r.put(s, value, given, file, "--"+s.Flag, "--"+s.FileFlag)
}

func changed(flags *pflag.FlagSet, name string) (string, bool) {
	if flags == nil || name == "" {
		return "", false
	}
	f := flags.Lookup(name)
	if f == nil || !f.Changed {
		return "", false
	}
	return f.Value.String(), true
}

func (r *reader) put(s Setting, value string, given bool, file, name, fileName string) error {
	switch {
	case value != "" && file != "":
		return fmt.Errorf("config: %s and %s are both set: keep one", name, fileName)
	case file != "":
		secret, err := readSecret(file)
		if err != nil {
			return about(s.Field, fmt.Errorf("config: read the file that %s names: %w", fileName, err))
		}
		r.values[s.Env] = secret
	case value != "":
		r.values[s.Env] = value
	case given:
		delete(r.values, s.Env)
	}
	return nil
}

// readSecret returns what a file holds, without the end of its line.
func readSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", err
	}
	secret := strings.TrimRight(string(b), "\r\n")
	switch {
	case len(b) > maxSecret:
		return "", fmt.Errorf("%q is over %d bytes, which is no secret", path, maxSecret)
	case secret == "":
		return "", fmt.Errorf("%q is empty", path)
	}
	return secret, nil
}

// honourRedisURL takes the variable that many platforms set, unless ours says
// something or asks for an engine that does not need it.
func (r *reader) honourRedisURL() {
	const own, engine = prefix + "REDIS_URL", prefix + "ENGINE"
	if r.values[own] != "" || r.values[engine] != "" && r.values[engine] != string(EngineRedis) {
		return
	}
	if url := r.variable("REDIS_URL"); url != "" {
		r.values[own] = url
	}
}

// variable returns a variable that is not one of ours.
func (r *reader) variable(name string) string {
	if v := r.environ[name]; v != "" {
		return v
	}
	return r.dotenv[name]
}

func (r *reader) fill(into any) error {
	err := env.ParseWithOptions(into, env.Options{Environment: r.values, Prefix: prefix})
	if err == nil {
		return nil
	}
	var all env.AggregateError
	if !errors.As(err, &all) {
		return fmt.Errorf("config: %w", err)
	}
	var errs []error
	for _, e := range all.Errors {
		errs = append(errs, r.explain(e))
	}
	return errors.Join(errs...)
}

func (r *reader) explain(err error) error {
	var bad env.ParseError
	if !errors.As(err, &bad) {
		return fmt.Errorf("config: %w", err)
	}
	for _, s := range r.table {
		if s.Field == bad.Name {
			return fmt.Errorf("config: %s is %q: it must be %s", s.name(), r.values[s.Env], wanted(s.kind))
		}
	}
	return fmt.Errorf("config: %w", err)
}

// complete fills in what depends on other settings or on the machine.
func (c *Config) complete(variable func(string) string) error {
	if c.Engine == "" {
		c.Engine = EngineEmbedded
		if c.RedisURL != "" {
			c.Engine = EngineRedis
		}
	}
	for _, list := range [][]string{c.Roles, c.BridgePrefixes} {
		for i := range list {
			list[i] = strings.TrimSpace(list[i])
		}
	}
	if c.Listen == "" && (c.Runs(RoleAPI) || c.Runs(RoleDashboard)) {
		c.Listen = DefaultListen
	}
	home := variable("HOME")
	if home == "" {
		home = variable("USERPROFILE")
	}
	switch data := variable("XDG_DATA_HOME"); {
	case c.DataDir != "":
		if rest, ok := strings.CutPrefix(c.DataDir, "~/"); ok && home != "" {
			c.DataDir = filepath.Join(home, rest) // no shell has seen what .env says
		}
	case filepath.IsAbs(data): // the XDG rules have a relative one ignored
		c.DataDir = filepath.Join(data, "evalq")
	case home != "":
		c.DataDir = filepath.Join(home, ".local", "share", "evalq")
	default:
		return nil // Validate says what to do
	}
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return about("DataDir", fmt.Errorf("config: %s: %w", setting("DataDir").name(), err))
	}
	c.DataDir = dir
	return nil
}
