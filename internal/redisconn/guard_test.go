package redisconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"evalq/internal/redistest"
)

// demoted gives a proxy before a primary, and makes a replica of that server and a
// primary of another, as a provider does, in whose words.
func demoted(t *testing.T, words string) (f *redistest.Failover, fail func()) {
	t.Helper()
	first, second := redistest.Start(t, redistest.WithTCP()), redistest.Start(t, redistest.WithTCP())
	f = redistest.NewFailover(t, first)
	return f, func() {
		t.Helper()
		host, port, _ := net.SplitHostPort(second.Addr)
		if err := first.Client(t).SlaveOf(t.Context(), host, port).Err(); err != nil {
			t.Fatal(err)
		}
		f.Say("-READONLY", "-"+words)
		f.To(second)
	}
}

func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	end := time.Now().Add(time.Minute)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %v", what, err)
		}
		<-time.After(time.Millisecond)
	}
}

var writes = map[string]func(context.Context, redis.UniversalClient) error{
	"command": func(ctx context.Context, c redis.UniversalClient) error { return c.Set(ctx, "k", "v", 0).Err() },
	"script": func(ctx context.Context, c redis.UniversalClient) error {
		return redis.NewScript(`return redis.call("SET", KEYS[1], "v")`).Run(ctx, c, []string{"k"}).Err()
	},
	"pipeline": func(ctx context.Context, c redis.UniversalClient) error {
		_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
			p.Get(ctx, "n").Err()
			p.LLen(ctx, "l")
			p.Set(ctx, "k", "v", 0)
			return nil
		})
		if errors.Is(err, redis.Nil) {
			return c.Get(ctx, "k").Err()
		}
		return err
	},
	"transaction": func(ctx context.Context, c redis.UniversalClient) error {
		_, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.Set(ctx, "k", "v", 0)
			return nil
		})
		return err
	},
}

func TestAProxyThatSaysREADONLYInItsOwnWordsIsDialledAnew(t *testing.T) {
	t.Parallel()
	for _, words := range []string{"ERR READONLY", "ERR the instance is read only:", "ERR Error running script: READONLY", "MASTERDOWN"} {
		for name, write := range writes {
			t.Run(words+" "+name, func(t *testing.T) {
				t.Parallel()
				f, fail := demoted(t, words)
				c := open(t, "redis://"+f.Addr)
				if err := write(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				fail()
				refused := 0
				eventually(t, "the new primary takes the write", func() error {
					err := write(t.Context(), c)
					if err != nil {
						refused++
					}
					return err
				})
				if refused > 3 {
					t.Errorf("%d writes were refused until the new primary was dialled", refused)
				}
			})
		}
	}
}

func TestOneRefusalEndsTheOtherIdleConnectionsToo(t *testing.T) {
	t.Parallel()
	f, fail := demoted(t, "ERR READONLY")
	c := open(t, "redis://"+f.Addr)
	var held []*redis.Conn
	for range 20 {
		one := c.Conn()
		if err := one.Ping(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		held = append(held, one)
	}
	for _, one := range held {
		if err := one.Close(); err != nil {
			t.Fatal(err)
		}
	}
	fail()
	if err := c.Set(t.Context(), "k", "v", 0).Err(); err == nil {
		t.Fatal("the old primary took a write")
	}
	for i := range 20 {
		if err := c.Set(t.Context(), fmt.Sprint("k", i), "v", 0).Err(); err != nil {
			t.Fatalf("write %d after the first refusal: %v", i, err)
		}
	}
}

func TestASubscriptionLeavesADemotedPrimary(t *testing.T) {
	t.Parallel()
	f, fail := demoted(t, "ERR READONLY")
	c := open(t, "redis://"+f.Addr)
	heard := c.Subscribe(t.Context(), "news")
	defer heard.Close()
	if _, err := heard.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	fail()
	channel := heard.Channel()
	eventually(t, "the subscription hears of the new primary", func() error {
		if err := c.Set(t.Context(), "k", "v", 0).Err(); err != nil {
			return err
		}
		if err := c.Publish(t.Context(), "news", "x").Err(); err != nil {
			return err
		}
		select {
		case <-channel:
			return nil
		default:
			return errors.New("no message has come")
		}
	})
}

func TestAGuardedClientOfACallerLeavesItsOlderConnectionsToo(t *testing.T) {
	t.Parallel()
	f, fail := demoted(t, "ERR READONLY")
	c := redis.NewClient(&redis.Options{Addr: f.Addr})
	defer c.Close()
	if err := c.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	GuardClient(c)
	GuardClient(c)
	fail()
	eventually(t, "the new primary takes the write", func() error { return c.Set(t.Context(), "k", "v", 0).Err() })
}

func TestAPayloadThatReadsLikeARefusalKeepsTheConnection(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.WithTCP())
	f := redistest.NewFailover(t, s)
	c := open(t, "redis://"+f.Addr)
	text := strings.Repeat("x", 40_000) + "\r\n-READONLY You can't write\r\n-ERR READONLY\r\n"
	if err := c.Set(t.Context(), "k", text, 0).Err(); err != nil {
		t.Fatal(err)
	}
	before := f.Dials()
	for range 20 {
		if got := c.Get(t.Context(), "k").Val(); got != text {
			t.Fatal("another text came back")
		}
		if err := c.HGet(t.Context(), "k", "f").Err(); err == nil {
			t.Fatal("no error for the wrong type")
		}
	}
	if n := f.Dials() - before; n != 0 {
		t.Errorf("%d connections were dialled anew", n)
	}
}

func TestRepliesAreReadWhereverTheyAreCut(t *testing.T) {
	t.Parallel()
	const stream = "+OK\r\n*3\r\n$3\r\n-E\n\r\n:1\r\n-ERR READONLY one\r\n$-1\r\n!10\r\nREADONLY 2\r\n\r\n$0\r\n\r\n=15\r\ntxt:-READONLY 9\r\n%1\r\n+a\r\n-LOADING 3\r\n"
	clean := strings.ReplaceAll(stream, "READONLY 2\r\n\r\n", "READONLY 2\r\n")
	for size := 1; size < len(clean); size++ {
		var s replyScanner
		var got []string
		for i := 0; i < len(clean); i += size {
			s.scan([]byte(clean[i:min(len(clean), i+size)]), func(line string) { got = append(got, strings.TrimSpace(line)) })
		}
		if fmt.Sprint(got) != "[ERR READONLY one READONLY 2 LOADING 3]" || s.lost {
			t.Fatalf("cut each %d bytes: %q, lost %v", size, got, s.lost)
		}
	}
}
