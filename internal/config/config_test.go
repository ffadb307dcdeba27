package config

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

// parsed returns a server's flags as a command line sets them.
func parsed(t *testing.T, args ...string) *pflag.FlagSet {
	t.Helper()
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	AddFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return flags
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const home = "HOME=/home/eva"

// load fails the test when the settings are refused.
func load(t *testing.T, environ []string, flags *pflag.FlagSet, dotenvPath string) *Config {
	t.Helper()
	c, err := Load(append([]string{home}, environ...), flags, dotenvPath)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLoadWithoutAnySettingGivesTheDefaults(t *testing.T) {
	t.Parallel()
	want := &Config{
		Listen: "127.0.0.1:8080", DataDir: "/home/eva/.local/share/evalq", Engine: EngineEmbedded, Concurrency: 10,
		InterviewWait: 24 * time.Hour, KindWait: 24 * time.Hour, Retention: time.Hour, History: 90 * 24 * time.Hour, ShutdownTimeout: 5 * time.Minute,
		Roles: []string{"all"}, BridgePrefixes: []string{"interview:messages:"}, LogLevel: slog.LevelInfo, LogFormat: "text",
	}
	if diff := cmp.Diff(want, load(t, nil, nil, "")); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
}

func TestLoadReadsEverySettingFromItsVariable(t *testing.T) {
	t.Parallel()
	got := load(t, []string{
		"EVALQ_LISTEN=:9", "EVALQ_DATA_DIR=/data", "EVALQ_ENGINE=managed", "EVALQ_MANAGED_BINARY=/bin/valkey-server",
		"EVALQ_CONCURRENCY=3", "EVALQ_STRICT_PRIORITY=true", "EVALQ_WINDOW=50", "EVALQ_INTERVIEW_WAIT=90m", "EVALQ_KIND_WAIT=3h",
		"EVALQ_RETENTION=2h", "EVALQ_HISTORY=48h", "EVALQ_SHUTDOWN_TIMEOUT=3m", "EVALQ_OPERATOR_TOKEN=operator1", "EVALQ_VIEWER_TOKEN=viewer111",
		"EVALQ_ROLES=api, worker,relay,dashboard,bridge", "EVALQ_BRIDGE_REDIS_URL=redis://old", "EVALQ_BRIDGE_PREFIX=interview:messages:, message_queue:",
		"EVALQ_BRIDGE_SHADOW=true", "EVALQ_LOG_LEVEL=warn", "EVALQ_LOG_FORMAT=json",
		"EVALQ_PLATFORM_DB=mysql://eva:pw@db/platform", "EVALQ_PLATFORM_ENDPOINTS=true",
		"EVALQ_MAX_CONNECTIONS=500", "EVALQ_CONNECTIONS_PER_ADDRESS=20",
	}, nil, "")
	want := &Config{
		Listen: ":9", DataDir: "/data", Engine: EngineManaged, ManagedBinary: "/bin/valkey-server",
		Concurrency: 3, StrictPriority: true, Window: 50, InterviewWait: 90 * time.Minute, KindWait: 3 * time.Hour,
		Retention: 2 * time.Hour, History: 48 * time.Hour, ShutdownTimeout: 3 * time.Minute, OperatorToken: "operator1", ViewerToken: "viewer111",
		Roles: []string{"api", "worker", "relay", "dashboard", "bridge"}, BridgeRedisURL: "redis://old",
		BridgePrefixes: []string{"interview:messages:", "message_queue:"}, BridgeShadow: true, LogLevel: slog.LevelWarn, LogFormat: "json",
		PlatformDB: "mysql://eva:pw@db/platform", PlatformEndpoints: true,
		MaxConnections: 500, ConnectionsPerAddress: 20,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestLoadPrefersFlagsToEnvironmentToDotenv(t *testing.T) {
	t.Parallel()
	dotenv := file(t, "EVALQ_CONCURRENCY=2\nEVALQ_WINDOW=20\nEVALQ_LOG_FORMAT=json\nOTHER=1\n")
	got := load(t, []string{"EVALQ_CONCURRENCY=3", "EVALQ_WINDOW=30"}, parsed(t, "--concurrency=4", "--strict-priority"), dotenv)
	if got.Concurrency != 4 || got.Window != 30 || got.LogFormat != "json" || !got.StrictPriority {
		t.Errorf("concurrency %d from a flag, window %d from the environment, format %q from .env, strict %v from a flag; want 4, 30, json, true",
			got.Concurrency, got.Window, got.LogFormat, got.StrictPriority)
	}
}

func TestLoadTakesAnEmptyValueForTheDefault(t *testing.T) {
	t.Parallel()
	dotenv := file(t, "EVALQ_CONCURRENCY=2\nEVALQ_WINDOW=20\n")
	got := load(t, []string{"EVALQ_CONCURRENCY="}, parsed(t, "--window="), dotenv)
	if got.Concurrency != 10 || got.Window != 0 {
		t.Errorf("concurrency %d, window %d, want the defaults 10 and 0", got.Concurrency, got.Window)
	}
}

func TestLoadReadsSecretsFromFiles(t *testing.T) {
	t.Parallel()
	operator, viewer, redis := file(t, "operator token\n"), file(t, "viewer-1\r\n"), file(t, "redis://:pw@host")
	_, err := Load([]string{home, "EVALQ_OPERATOR_TOKEN_FILE=" + operator}, nil, "")
	if err == nil || !strings.Contains(err.Error(), "without spaces") || strings.Contains(err.Error(), "operator token") {
		t.Errorf("a token with a space: %v, want an error that does not show it", err)
	}
	operator = file(t, "operator-1\n")
	got := load(t, []string{"EVALQ_OPERATOR_TOKEN_FILE=" + operator, "EVALQ_REDIS_URL_FILE=" + redis},
		parsed(t, "--viewer-token-file", viewer), "")
	if got.OperatorToken != "operator-1" || got.ViewerToken != "viewer-1" || got.RedisURL != "redis://:pw@host" || got.Engine != EngineRedis {
		t.Errorf("read %q, %q, %q, engine %q", got.OperatorToken, got.ViewerToken, got.RedisURL, got.Engine)
	}
}

func TestLoadHonoursRedisURLOfThePlatform(t *testing.T) {
	t.Parallel()
	const platform, own = "REDIS_URL=redis://platform", "EVALQ_REDIS_URL=redis://own"
	for name, c := range map[string]struct {
		environ []string
		args    []string
		want    string
		engine  Engine
	}{
		"alone":                       {environ: []string{platform}, want: "redis://platform", engine: EngineRedis},
		"behind ours":                 {environ: []string{platform, own}, want: "redis://own", engine: EngineRedis},
		"behind a flag":               {environ: []string{platform}, args: []string{"--redis-url=redis://flag"}, want: "redis://flag", engine: EngineRedis},
		"with the engine redis":       {environ: []string{platform}, args: []string{"--engine=redis"}, want: "redis://platform", engine: EngineRedis},
		"not for the embedded engine": {environ: []string{platform, "EVALQ_ENGINE=embedded"}, engine: EngineEmbedded},
		"not for the managed engine":  {environ: []string{platform}, args: []string{"--engine=managed"}, engine: EngineManaged},
		"empty":                       {environ: []string{"REDIS_URL="}, engine: EngineEmbedded},
	} {
		got := load(t, c.environ, parsed(t, c.args...), "")
		if got.RedisURL != c.want || got.Engine != c.engine {
			t.Errorf("%s: %q on the engine %q, want %q on %q", name, got.RedisURL, got.Engine, c.want, c.engine)
		}
	}
}

func TestLoadFindsTheDataFolder(t *testing.T) {
	t.Parallel()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		environ []string
		want    string
	}{
		{[]string{home, "XDG_DATA_HOME=/xdg"}, "/xdg/evalq"},
		{[]string{home, "XDG_DATA_HOME=relative"}, "/home/eva/.local/share/evalq"},
		{[]string{home, "EVALQ_DATA_DIR=~/queue"}, "/home/eva/queue"},
		{[]string{"EVALQ_DATA_DIR=sub"}, filepath.Join(here, "sub")},
	} {
		got, err := Load(c.environ, nil, "")
		if err != nil || got.DataDir != c.want {
			t.Errorf("%v: %+v, %v, want the folder %q", c.environ, got, err, c.want)
		}
	}
	if _, err := Load(nil, nil, ""); err == nil || !strings.Contains(err.Error(), "--data-dir") {
		t.Errorf("without a home folder: %v, want an error that names --data-dir", err)
	}
}

func TestLoadDataDirReadsNothingElse(t *testing.T) {
	t.Parallel()
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	AddDataDirFlag(flags)
	if err := flags.Parse([]string{"--data-dir=/flag"}); err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]struct {
		environ []string
		flags   *pflag.FlagSet
	}{
		"/home/eva/.local/share/evalq": {[]string{home, "EVALQ_LISTEN=0.0.0.0:80", "EVALQ_ENGINE=bogus"}, nil},
		"/data":                        {[]string{home, "EVALQ_DATA_DIR=/data"}, nil},
		"/flag":                        {[]string{home, "EVALQ_DATA_DIR=/data"}, flags},
	} {
		if got, err := LoadDataDir(c.environ, c.flags, ""); err != nil || got != want {
			t.Errorf("%v: %q, %v, want %q", c.environ, got, err, want)
		}
	}
	for _, environ := range [][]string{nil, {home, "EVALQ_DATADIR=/x"}} {
		if _, err := LoadDataDir(environ, nil, ""); err == nil {
			t.Errorf("%v was accepted", environ)
		}
	}
}

func TestLoadRefusesBadSettingsAndSaysWhatToDo(t *testing.T) {
	t.Parallel()
	const tok = "EVALQ_OPERATOR_TOKEN=operator1"
	for _, c := range []struct {
		set  string
		want []string
	}{
		{"EVALQ_LISTEN=0.0.0.0:8080", []string{"--listen (EVALQ_LISTEN)", "--operator-token-file (EVALQ_OPERATOR_TOKEN)", "127.0.0.1"}},
		{"EVALQ_LISTEN=:8080", []string{"--listen", "credentials"}},
		{"EVALQ_LISTEN=[::]:8080", []string{"--listen", "credentials"}},
		{"EVALQ_LISTEN=example.org:8080", []string{"--listen", "credentials"}},
		{"EVALQ_LISTEN=8080", []string{"--listen", "host:port"}},
		{"EVALQ_LISTEN=localhost:http", []string{"--listen", "port must be a number"}},
		{"EVALQ_CONCURRENCY=0", []string{"--concurrency (EVALQ_CONCURRENCY) is 0", "1 to 10000"}},
		{"EVALQ_CONCURRENCY=10001", []string{"--concurrency", "10001"}},
		{"EVALQ_CONCURRENCY=ten", []string{"--concurrency (EVALQ_CONCURRENCY)", `"ten"`, "a whole number"}},
		{"EVALQ_STRICT_PRIORITY=perhaps", []string{"--strict-priority", "true or false"}},
		{"EVALQ_WINDOW=-1", []string{"--window", "0 for the engine's own"}},
		{"EVALQ_INTERVIEW_WAIT=soon", []string{"--interview-wait (EVALQ_INTERVIEW_WAIT)", `"soon"`, "90s, 10m or 24h"}},
		{"EVALQ_INTERVIEW_WAIT=0", []string{"--interview-wait", "from 1s"}},
		{"EVALQ_RETENTION=-1h", []string{"--retention", "from 1m0s"}},
		{"EVALQ_HISTORY=23h", []string{"--history (EVALQ_HISTORY) is 23h", "24h or more", "0 for ever"}},
		{"EVALQ_SHUTDOWN_TIMEOUT=2m", []string{"--shutdown-timeout", "over 2m0s", "paid for again"}},
		{"EVALQ_SHUTDOWN_TIMEOUT=25h", []string{"--shutdown-timeout", "at most 24h"}},
		{"EVALQ_LOG_LEVEL=loud", []string{"--log-level", "debug, info, warn or error"}},
		{"EVALQ_LOG_FORMAT=xml", []string{"--log-format", "text or json"}},
		{"EVALQ_ENGINE=rabbit", []string{"--engine", "embedded, managed or redis"}},
		{"EVALQ_ENGINE=redis", []string{"--engine", "--redis-url (EVALQ_REDIS_URL)"}},
		{"EVALQ_ENGINE=embedded EVALQ_REDIS_URL=redis://:hidden7@host", []string{"--engine", "contradicts --redis-url", "redis://:***@host"}},
		{"EVALQ_ENGINE=managed EVALQ_REDIS_URL=redis://host", []string{"--engine", "contradicts"}},
		{"EVALQ_REDIS_URL=redis://:hidden7#@host", []string{"--redis-url", "%23"}},
		{"EVALQ_PLATFORM_DB=postgres://eva:hidden7@host/db", []string{"--platform-db (EVALQ_PLATFORM_DB) is unfit", "mysql://user:password@host:3306/database"}},
		{"EVALQ_PLATFORM_DB=mysql://eva:hidden7@host/db?x=hidden7&timeout=hidden7", []string{"--platform-db", "go-sql-driver"}},
		{"EVALQ_PLATFORM_ENDPOINTS=true EVALQ_ROLES=worker EVALQ_REDIS_URL=redis://h EVALQ_LEDGER_URL=mysql://h/d", []string{"--platform-endpoints", "the role api", "--roles"}},
		{"EVALQ_MANAGED_BINARY=/bin/x", []string{"--managed-binary", "set --engine"}},
		{"EVALQ_ROLES=api,worker", []string{"--roles", "SQLite ledger belongs to one process"}},
		{"EVALQ_ROLES=api,cook", []string{"--roles", "api, worker, relay, dashboard"}},
		{"EVALQ_ROLES=all,api", []string{"--roles"}},
		{"EVALQ_ROLES=all,bridge", []string{"--roles", "old programs", "--bridge-redis-url (EVALQ_BRIDGE_REDIS_URL)"}},
		{"EVALQ_ROLES=bridge EVALQ_BRIDGE_REDIS_URL=redis://host", []string{"--roles", "run all,bridge"}},
		{"EVALQ_BRIDGE_REDIS_URL=redis://:hidden7#@host", []string{"--bridge-redis-url", "%23"}},
		{"EVALQ_BRIDGE_PREFIX=a:,a:", []string{"--bridge-prefix (EVALQ_BRIDGE_PREFIX)", "given once"}},
		{"EVALQ_BRIDGE_PREFIX=a:,,b:", []string{"--bridge-prefix", "1 to 100"}},
		{"EVALQ_BRIDGE_SHADOW=maybe", []string{"--bridge-shadow", "true or false"}},
		{"EVALQ_OPERATOR_TOKEN=hidden7", []string{"--operator-token-file (EVALQ_OPERATOR_TOKEN)", "8 or more"}},
		{"EVALQ_VIEWER_TOKEN=hidden77", []string{"--viewer-token-file", "operators need one too"}},
		{tok + " EVALQ_VIEWER_TOKEN=operator1", []string{"--viewer-token-file", "choose another"}},
		{tok + " EVALQ_OPERATOR_TOKEN_FILE=/x", []string{"EVALQ_OPERATOR_TOKEN and EVALQ_OPERATOR_TOKEN_FILE are both set"}},
		{"EVALQ_OPERATOR_TOKEN_FILE=/no/such/file", []string{"EVALQ_OPERATOR_TOKEN_FILE", "/no/such/file"}},
		{"EVALQ_OPERATOR_TOKEN_FILE=" + os.DevNull, []string{"EVALQ_OPERATOR_TOKEN_FILE", "is empty"}},
		{"EVALQ_CONCURENCY=3", []string{"EVALQ_CONCURENCY", "did you mean EVALQ_CONCURRENCY?"}},
		{"EVALQ_REDISURL=x", []string{"did you mean EVALQ_REDIS_URL?"}},
		{"EVALQ_UNHEARD_OF_THING=x", []string{"EVALQ_UNHEARD_OF_THING", "not a setting"}},
	} {
		_, err := Load(append([]string{home}, strings.Fields(c.set)...), nil, "")
		if err == nil {
			t.Errorf("%s was accepted", c.set)
			continue
		}
		for _, want := range append(c.want, "config: ") {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want it to say %q", c.set, err, want)
			}
		}
		if strings.Contains(err.Error(), "hidden7") {
			t.Errorf("%s: the error shows the secret: %v", c.set, err)
		}
	}
}

func TestTheRoleBridgeIsPartOfAllOnlyWhereThereIsARedisForIt(t *testing.T) {
	t.Parallel()
	for set, want := range map[string]string{
		"EVALQ_ROLES=all":                                    "",
		"EVALQ_REDIS_URL=redis://own":                        "",
		"EVALQ_BRIDGE_REDIS_URL=redis://old":                 "redis://old",
		"EVALQ_ROLES=all,bridge EVALQ_REDIS_URL=redis://own": "redis://own",
		"EVALQ_ROLES=bridge,all EVALQ_REDIS_URL=redis://own EVALQ_BRIDGE_REDIS_URL=redis://x": "redis://x",
		"EVALQ_ROLES=bridge EVALQ_LEDGER_URL=mysql://u@h/d EVALQ_REDIS_URL=redis://own":       "redis://own",
		"EVALQ_ROLES=api EVALQ_LEDGER_URL=mysql://u@h/d EVALQ_REDIS_URL=redis://own":          "",
	} {
		c := load(t, strings.Fields(set), nil, "")
		got := ""
		if c.Runs(RoleBridge) {
			got = c.BridgeURL()
		}
		if got != want {
			t.Errorf("%s: subscribes to %q, want %q", set, got, want)
		}
	}
	if c := load(t, []string{"EVALQ_BRIDGE_REDIS_URL=redis://:hidden7@old"}, nil, ""); strings.Contains(c.Redacted(), "hidden7") || !strings.Contains(c.Redacted(), "redis://:***@old") {
		t.Errorf("shown as %s", c.Redacted())
	}
}

func TestErrorsAboutAPlaceAreToldFromMistakes(t *testing.T) {
	t.Parallel()
	for set, place := range map[string]bool{
		"EVALQ_LISTEN=8080": true, "EVALQ_LISTEN=0.0.0.0:8080": true, "EVALQ_REDIS_URL=http://x": true, "EVALQ_PLATFORM_DB=http://x": true, "EVALQ_REDIS_URL_FILE=/no/such": true,
		"EVALQ_LISTEN=8080 EVALQ_WINDOW=-1": true,
		"EVALQ_ENGINE=bogus":                false, "EVALQ_CONCURRENCY=x": false, "EVALQ_CONCURRENCY=0": false, "EVALQ_ROLES=api": false, "EVALQ_CONCURENCY=3": false,
		"EVALQ_ENGINE=managed EVALQ_REDIS_URL=redis://host": false, "EVALQ_OPERATOR_TOKEN_FILE=/no/such": false,
	} {
		_, err := Load(append([]string{home}, strings.Fields(set)...), nil, "")
		if err == nil || IsPlace(err) != place {
			t.Errorf("%s: IsPlace is %v: %v", set, IsPlace(err), err)
		}
	}
	if _, err := Load(nil, nil, ""); !IsPlace(err) {
		t.Errorf("without a home folder: %v", err)
	}
}

func TestLoadTellsOfAllBadSettingsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := Load([]string{home, "EVALQ_CONCURRENCY=0", "EVALQ_LOG_FORMAT=xml", "EVALQ_WINDOW=-1"}, nil, "")
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("three bad settings: %v, want three lines", err)
	}
}

func TestLoadListensBeyondLoopbackWithCredentials(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{":8080", "0.0.0.0:1", "[::]:0"} {
		load(t, []string{"EVALQ_LISTEN=" + listen, "EVALQ_OPERATOR_TOKEN=operator1"}, nil, "")
	}
	for _, listen := range []string{"localhost:0", "127.8.9.1:80", "[::1]:80"} {
		load(t, []string{"EVALQ_LISTEN=" + listen}, nil, "")
	}
}

func TestLoadReadsTheDotenvFileWithCare(t *testing.T) {
	t.Parallel()
	if _, err := Load([]string{home}, nil, filepath.Join(t.TempDir(), "gone.env")); err == nil {
		t.Error("a file that was named and does not exist went unnoticed")
	}
	_, err := Load([]string{home}, nil, file(t, "EVALQ_OPERATOR_TOKEN=hidden-7\nthis is - no line\n"))
	if err == nil || strings.Contains(err.Error(), "hidden-7") || !strings.Contains(err.Error(), "NAME=value") {
		t.Errorf("a file with a bad line: %v, want an error without what is in it", err)
	}
	if _, err := Load([]string{home}, nil, file(t, "EVALQ_LISTN=x\n")); err == nil || !strings.Contains(err.Error(), "EVALQ_LISTEN?") {
		t.Errorf("a file with a mistyped variable: %v, want a suggestion", err)
	}
}

func TestLoadDoesWithoutTheDefaultDotenvFile(t *testing.T) {
	t.Chdir(t.TempDir())
	load(t, nil, nil, DefaultDotenv)
	if err := os.WriteFile(DefaultDotenv, []byte("EVALQ_CONCURRENCY=7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := load(t, nil, nil, DefaultDotenv); got.Concurrency != 7 {
		t.Errorf("concurrency %d, want 7 from .env", got.Concurrency)
	}
}

func TestLoadClientReadsAddressAndToken(t *testing.T) {
	t.Parallel()
	flags := pflag.NewFlagSet("get", pflag.ContinueOnError)
	AddClientFlags(flags)
	if err := flags.Parse([]string{"--url=https://queue.example/evalq/"}); err != nil {
		t.Fatal(err)
	}
	got, err := LoadClient([]string{"EVALQ_TOKEN=operator1", "EVALQ_LISTEN=nonsense"}, flags, "")
	if err != nil {
		t.Fatal(err)
	}
	if want := (Client{URL: "https://queue.example/evalq", Token: "operator1"}); *got != want {
		t.Errorf("got %+v, want %+v", *got, want)
	}
	if got, err := LoadClient(nil, nil, ""); err != nil || got.URL != "http://127.0.0.1:8080" {
		t.Errorf("defaults: %+v, %v", got, err)
	}
}

func TestLoadClientRefusesBadAddresses(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"localhost:8080": "http://", "ftp://x": "http://", "http://": "http://", "http://x/?a=b": "http://",
		"http://eva:hidden7@x": "user or password", "http://hidden7\x7f": "http://",
	} {
		_, err := LoadClient([]string{"EVALQ_URL=" + raw}, nil, "")
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--url (EVALQ_URL)") {
			t.Errorf("%q: %v, want an error about %q that names --url", raw, err, want)
			continue
		}
		if strings.Contains(err.Error(), "hidden7") {
			t.Errorf("%q: the error shows it: %v", raw, err)
		}
	}
}

func TestConfigPrintsWithoutSecrets(t *testing.T) {
	t.Parallel()
	c := load(t, []string{"EVALQ_OPERATOR_TOKEN=hidden-7", "EVALQ_VIEWER_TOKEN=hidden-77", "EVALQ_REDIS_URL=redis://eva:hidden-7@host",
		"EVALQ_PLATFORM_DB=mysql://eva:hidden-7@host/db"}, nil, "")
	client := Client{URL: "http://eva:hidden-7@x", Token: "hidden-7"}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("started", "config", c, "client", client)
	for _, text := range []string{
		fmt.Sprint(c), fmt.Sprint(*c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", *c), c.Redacted(), log.String(),
		fmt.Sprintf("%v %+v %#v", client, &client, client), client.Redacted(),
	} {
		if strings.Contains(text, "hidden-7") {
			t.Errorf("a secret is in %q", text)
		}
	}
	for _, want := range []string{"EVALQ_REDIS_URL=redis://eva:***@host:6379/0", "EVALQ_PLATFORM_DB=***", "EVALQ_OPERATOR_TOKEN=***", "EVALQ_ROLES=all", "EVALQ_CONCURRENCY=10"} {
		if !strings.Contains(c.Redacted(), want+"\n") {
			t.Errorf("Redacted has no line %q:\n%s", want, c.Redacted())
		}
	}
}

func TestTableDescribesEverySetting(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, s := range Table() {
		if s.Env == prefix || s.Help == "" || s.Default == "" || s.Flag+s.FileFlag == "" {
			t.Errorf("%s lacks a variable, a flag, a default or a help: %+v", s.Field, s)
		}
		for _, name := range []string{s.Env, s.FileEnv, "--" + s.Flag, "--" + s.FileFlag} {
			if strings.Trim(name, "-") != "" && seen[name] {
				t.Errorf("%s is given twice", name)
			}
			seen[name] = true
		}
		if strings.Contains(s.Field, "Token") && (!s.Secret || s.Flag != "" || s.FileEnv == "") {
			t.Errorf("%s is not treated as a secret: %+v", s.Field, s)
		}
	}
}

func TestEveryFieldsCommentEndsWithItsDefault(t *testing.T) {
	t.Parallel()
	tree, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	comments := map[string]string{}
	ast.Inspect(tree, func(n ast.Node) bool {
		if f, ok := n.(*ast.Field); ok && len(f.Names) == 1 {
			comments[f.Names[0].Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
		}
		return true
	})
	for _, s := range Table() {
		_, tail, ok := strings.Cut(comments[s.Field], "Defaults to ")
		if !ok || tail != s.Default+"." && !strings.HasPrefix(tail, s.Default+",") {
			t.Errorf("the comment of %s is %q, want it to end: Defaults to %s.", s.Field, comments[s.Field], s.Default)
		}
	}
}

func TestFlagsHelpNamesVariableAndDefault(t *testing.T) {
	t.Parallel()
	usage := parsed(t).FlagUsages()
	for _, want := range []string{"--concurrency int", "(default 10) [$EVALQ_CONCURRENCY]", "--operator-token-file file", "[$EVALQ_OPERATOR_TOKEN_FILE]", "--strict-priority  "} {
		if !strings.Contains(usage, want) {
			t.Errorf("the help has no %q:\n%s", want, usage)
		}
	}
	if strings.Contains(usage, "--operator-token ") {
		t.Error("there is a flag for a token itself, which all users of the machine could see")
	}
}

func TestTheDefaultAddressIsTheOneInTheTable(t *testing.T) {
	t.Parallel()
	for _, s := range Table() {
		if s.Flag == "listen" && !strings.HasPrefix(s.Default, DefaultListen+" ") {
			t.Errorf("the table says %q, the constant %q", s.Default, DefaultListen)
		}
	}
}
