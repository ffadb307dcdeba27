package redisconn

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestParseReadsEveryPart(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]struct {
		network, addr, user, password string
		db                            int
		tls                           bool
	}{
		"redis://localhost":                          {network: "tcp", addr: "localhost:6379"},
		"redis://localhost:":                         {network: "tcp", addr: "localhost:6379"},
		"REDIS://cache.example:6380/":                {network: "tcp", addr: "cache.example:6380"},
		"redis://:secret@10.0.0.7:6380/3":            {network: "tcp", addr: "10.0.0.7:6380", password: "secret", db: 3},
		"redis://amy:secret@[::1]:6380?db=4":         {network: "tcp", addr: "[::1]:6380", user: "amy", password: "secret", db: 4},
		"redis://[::1]":                              {network: "tcp", addr: "[::1]:6379"},
		"rediss://amy:se%3Acret@r.example/2?db=2":    {network: "tcp", addr: "r.example:6379", user: "amy", password: "se:cret", db: 2, tls: true},
		"unix:///run/redis.sock":                     {network: "unix", addr: "/run/redis.sock"},
		"unix://amy:secret@/run/my%20r.sock?db=5":    {network: "unix", addr: "/run/my r.sock", user: "amy", password: "secret", db: 5},
		"redis-socket:///run/redis.sock?db=1":        {network: "unix", addr: "/run/redis.sock", db: 1},
		"redis://:a@b@host":                          {network: "tcp", addr: "host:6379", password: "a@b"},
		"redis://:a:b@host":                          {network: "tcp", addr: "host:6379", password: "a:b"},
		"redis://:+%2B%20@host":                      {network: "tcp", addr: "host:6379", password: "++ "},
		"redis://amy%40corp:%E5%AF%86%E7%A0%81@host": {network: "tcp", addr: "host:6379", user: "amy@corp", password: "密码"},
	} {
		o, err := Parse(raw)
		if err != nil {
			t.Errorf("Parse(%q): %v", raw, err)
			continue
		}
		if o.Network != want.network || o.Addr != want.addr || o.Username != want.user || o.Password != want.password || o.DB != want.db {
			t.Errorf("Parse(%q) = %s %s user %q password %q db %d, want %+v", raw, o.Network, o.Addr, o.Username, o.Password, o.DB, want)
		}
		if (o.TLSConfig != nil) != want.tls {
			t.Errorf("Parse(%q) uses TLS: %v, want %v", raw, o.TLSConfig != nil, want.tls)
		}
		if !o.ContextTimeoutEnabled {
			t.Errorf("Parse(%q) ignores the deadlines of contexts", raw)
		}
	}
}

func TestParseKeepsPasswordWithSpecialCharacters(t *testing.T) {
	t.Parallel()
	for _, password := range []string{
		"@", ":", "/", "#", "?", "%", "%41", "a@b:c/d?e#f%g", "&=+ ", "redis://x:y@z/0", `"\'` + "`$!", "パスワード", "\x01\x7f",
	} {
		for _, escape := range []func(string) string{url.QueryEscape, everyByte} {
			encoded := escape(password)
			if strings.Contains(encoded, "+") {
				continue // QueryEscape writes a space so, which only a query may
			}
			o, err := Parse("redis://us%40er:" + encoded + "@host:6380/1")
			if err != nil {
				t.Errorf("password %q as %q: %v", password, encoded, err)
				continue
			}
			if o.Password != password || o.Username != "us@er" || o.Addr != "host:6380" || o.DB != 1 {
				t.Errorf("password %q as %q: read user %q, password %q, %s, db %d", password, encoded, o.Username, o.Password, o.Addr, o.DB)
			}
		}
	}
}

func everyByte(s string) string {
	var b strings.Builder
	for i := range len(s) {
		const hex = "0123456789abcdef"
		b.WriteString("%" + string(hex[s[i]>>4]) + string(hex[s[i]&15]))
	}
	return b.String()
}

func TestParseTakesOptions(t *testing.T) {
	t.Parallel()
	o, err := Parse("rediss://h?dial_timeout=1s&read_timeout=250ms&write_timeout=2m&pool_size=7&skip_verify=true")
	if err != nil {
		t.Fatal(err)
	}
	if o.DialTimeout != time.Second || o.ReadTimeout != 250*time.Millisecond || o.WriteTimeout != 2*time.Minute || o.PoolSize != 7 {
		t.Errorf("dial %v, read %v, write %v, pool %d; want 1s, 250ms, 2m, 7", o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolSize)
	}
	if !o.TLSConfig.InsecureSkipVerify {
		t.Error("skip_verify=true still verifies the certificate")
	}
}

func TestParseRefusesWhatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"":                                "must begin with redis://",
		"localhost:6379":                  "must begin with redis://",
		"http://localhost":                "scheme must be",
		"redis://":                        "must name a host",
		"redis://:6379":                   "must name a host",
		"redis://ho st":                   "must name a host",
		"redis://host:0":                  "port must be",
		"redis://host:65536":              "port must be",
		"redis://host:x":                  "port must be",
		"redis://[::1":                    "IPv6",
		"redis://[::1]6379":               "port must be",
		"redis://host/x":                  "number of a database",
		"redis://host/-1":                 "number of a database",
		"redis://host/1/2":                "number of a database",
		"redis://host/1?db=2":             "two databases",
		"redis://host/0?db=2":             "two databases",
		"redis://host?db=1&db=1":          "db twice",
		"redis://host?db=x":               "db must be",
		"redis://host?pool_size=0":        "pool_size must be",
		"redis://host?read_timeout=5":     "read_timeout must be",
		"redis://host?read_timeout=-1s":   "read_timeout must be",
		"redis://host?skip_verify=true":   "rediss://",
		"rediss://host?skip_verify=maybe": "true or false",
		"redis://host?sentinel=x":         "db, dial_timeout, read_timeout, write_timeout, pool_size, skip_verify",
		"redis://:pw@host?sentinel=x":     `"sentinel"`,
		"redis://amy@host":                "no password",
		"redis://amy:@host":               "no password",
		"redis://:pw%@host":               "%25",
		"redis://:p#w@host":               "%23",
		"redis://:p/w@host":               "%2F",
		"redis://:p?w@host":               "%3F",
		"unix://run/redis.sock":           "three slashes",
		"unix://":                         "three slashes",
		"unix:///":                        "three slashes",
		"unix:///run/%zz":                 "%25",
		"unix:///run/%00":                 "NUL",
	} {
		o, err := Parse(raw)
		if err == nil {
			t.Errorf("Parse(%q) = %+v, want an error about %q", raw, o, want)
			continue
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q): %v, want an error about %q", raw, err, want)
		}
	}
}

func TestRedactedShowsAllButThePassword(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"redis://amy:secret@host:6380/2?pool_size=3":  "redis://amy:***@host:6380/2",
		"redis://:secret@host":                        "redis://:***@host:6379/0",
		"redis://host":                                "redis://host:6379/0",
		"rediss://:secret@[::1]:1":                    "rediss://:***@[::1]:1/0",
		"redis-socket://a%3Ab:secret@/run/a%40b?db=3": "unix://a%3Ab:***@/run/a%40b?db=3",
		"redis://:sec/ret@host":                       "redis://***",
		"redis://:secret":                             "redis://***",
		"secret":                                      "***",
		"secret://x":                                  "***",
	} {
		if got := Redacted(raw); got != want {
			t.Errorf("Redacted(%q) = %q, want %q", raw, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("redis://amy:s3cret@host:6379/1?pool_size=3", "pa:ss", "user")
	f.Add("unix:///run/redis.sock?db=2", "@/?#%", "")
	f.Add("rediss://[::1]", "x@host:1/0?db=", "a@b")
	f.Add("redis://:p/w@host", "%zz", ":")
	f.Fuzz(func(t *testing.T, raw, inner, user string) {
		if o, err := Parse(raw); err == nil {
			if again, err := Parse(mustAddress(t, raw).format(encode(o.Password))); err != nil {
				t.Errorf("Parse(%q) worked, but not written again: %v", raw, err)
			} else if again.Addr != o.Addr || again.Username != o.Username || again.Password != o.Password || again.DB != o.DB {
				t.Errorf("Parse(%q) = %+v, written and read again %+v", raw, o, again)
			}
		}
		// A password typed in as it is, with marks that nothing else has.
		const head, tail = "7Head7", "7Tail7"
		password := head + inner + tail
		for _, place := range []string{"host:6379/0", "host", "/run/r.sock"} {
			for _, scheme := range []string{"redis://", "rediss://", "unix://"} {
				careless := scheme + "u:" + password + "@" + place
				o, err := Parse(careless)
				if shown := Redacted(careless); strings.Contains(shown, head) || strings.Contains(shown, tail) {
					t.Errorf("Redacted(%q) = %q", careless, shown)
				}
				if err != nil && (strings.Contains(err.Error(), head) || strings.Contains(err.Error(), tail)) {
					t.Errorf("Parse(%q) shows the password: %v", careless, err)
				}
				if err == nil && (strings.Contains(o.Addr, head) || strings.Contains(o.Addr, tail)) {
					t.Errorf("Parse(%q) takes the password for an address: %q", careless, o.Addr)
				}
			}
		}
		// The same, encoded as it should be.
		o, err := Parse("redis://" + encode(user) + ":" + encode(password) + "@host:1/2")
		if err != nil {
			t.Fatalf("user %q, password %q, encoded: %v", user, password, err)
		}
		if o.Username != user || o.Password != password {
			t.Errorf("user %q, password %q became %q, %q", user, password, o.Username, o.Password)
		}
	})
}

func mustAddress(t *testing.T, raw string) address {
	t.Helper()
	a, err := parseAddress(raw)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
