package redisconn

import (
	"net"
	"net/url"
	"os"
	"strings"
	"testing"

	"evalq/internal/redistest"
)

func TestWhateverMakesRedisRefuseWorkIsSeenWithItsRemedyAndNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args     []string
		ails     func(t *testing.T, s *redistest.Server)
		user     string // its rules
		says, do string
	}{
		"no memory": {args: []string{"--maxmemory", "1b"}, says: "OOM", do: "maxmemory"},
		"a snapshot that failed": {
			args: []string{"--save", "3600 1", "--dbfilename", "gone.rdb"}, says: "MISCONF", do: "stop-writes-on-bgsave-error",
			ails: func(t *testing.T, s *redistest.Server) {
				c := s.Client(t)
				if err := os.Mkdir(s.Dir+"/gone.rdb", 0o700); err != nil {
					t.Fatal(err)
				}
				eventually(t, "a snapshot fails", func() error {
					_ = c.BgSave(t.Context()).Err()
					return mustSay(Field(c.Info(t.Context(), "persistence").Val(), "rdb_last_bgsave_status"), "err")
				})
			},
		},
		"too few replicas": {args: []string{"--min-replicas-to-write", "1"}, says: "NOREPLICAS", do: "min-replicas-to-write"},
		"a replica": {says: "READONLY", do: "REPLICAOF NO ONE", ails: func(t *testing.T, s *redistest.Server) {
			host, port, _ := net.SplitHostPort(redistest.Start(t, redistest.WithTCP()).Addr)
			if err := s.Client(t).SlaveOf(t.Context(), host, port).Err(); err != nil {
				t.Fatal(err)
			}
		}},
		"a user without scripts":         {user: "~* &* +@all -@scripting", says: "NOPERM", do: "ACL SETUSER"},
		"a user of other keys":           {user: "~evalq:* &* +@all", says: "key", do: "ACL SETUSER"},
		"a user without channels":        {user: "~* resetchannels +@all", says: "NOPERM", do: "ACL SETUSER"},
		"a user without a write command": {user: "~* &* +@all -zadd", says: "zadd", do: "ACL SETUSER"},
		"a user that may not remove":     {user: "~* &* +@all -lrem", says: "lrem", do: "ACL SETUSER"},
		"a renamed command":              {args: []string{"--rename-command", "RPOPLPUSH", "x"}, says: "nknown", do: "rename-command"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t, redistest.WithTCP(), redistest.WithArgs(c.args...))
			admin := s.Client(t)
			place := s.URL
			if c.user != "" {
				args := []any{"ACL", "SETUSER", "evalq", "on", ">secret"}
				for _, rule := range strings.Fields(c.user) {
					args = append(args, rule)
				}
				if err := admin.Do(t.Context(), args...).Err(); err != nil {
					t.Fatal(err)
				}
				place = (&url.URL{Scheme: "redis", User: url.UserPassword("evalq", "secret"), Host: s.Addr}).String()
			}
			if c.ails != nil {
				c.ails(t, s)
			}
			rdb, err := New(place, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer rdb.Close()
			err = Probe(t.Context(), rdb, "critical", "default")
			if err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(c.says)) {
				t.Errorf("the probe says %v, want %q in it", err, c.says)
			}
			if do := Remedy(err); !strings.Contains(do, c.do) {
				t.Errorf("for %v the remedy is %q, want %q in it", err, do, c.do)
			}
			if keys := admin.Keys(t.Context(), "*").Val(); len(keys) != 0 {
				t.Errorf("left behind: %q", keys)
			}
		})
	}
}

func mustSay(got, want string) error {
	if got != want {
		return &net.AddrError{Err: "it says", Addr: got}
	}
	return nil
}

func TestARedisThatWorksPassesTheProbe(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := open(t, s.URL)
	for range 3 {
		if err := Probe(t.Context(), c, "critical", "p:mq"); err != nil {
			t.Fatal(err)
		}
	}
	if n := c.DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("%d keys are left behind", n)
	}
}

func TestAKeyOfAsynqsThatHoldsSomethingElseIsNamed(t *testing.T) {
	t.Parallel()
	c := open(t, redistest.Start(t).URL)
	for _, key := range []string{"asynq:{critical}:pending", "asynq:{critical}:active", "asynq:{mq}:lease", "asynq:{mq}:archived", "asynq:queues"} {
		if err := c.HSet(t.Context(), key, "f", "v").Err(); err != nil {
			t.Fatal(err)
		}
		err := Probe(t.Context(), c, "critical", "mq")
		if err == nil || !strings.Contains(err.Error(), key) || !strings.Contains(Remedy(err), key) {
			t.Errorf("with a hash at %s: %v; %s", key, err, Remedy(err))
		}
		c.Del(t.Context(), key)
	}
	if err := Probe(t.Context(), c, "critical", "mq"); err != nil {
		t.Error(err)
	}
}
