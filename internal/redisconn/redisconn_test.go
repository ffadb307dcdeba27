package redisconn

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/hibiken/asynqmon"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"evalq/internal/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, rawURL string) *redis.Client {
	t.Helper()
	c, err := Open(t.Context(), rawURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c.(*redis.Client)
}

// openFails opens what must not open, in under five seconds, and returns the
// error's text.
func openFails(t *testing.T, rawURL string) string {
	t.Helper()
	start := time.Now()
	c, err := Open(t.Context(), rawURL, nil)
	if err == nil {
		c.Close()
		t.Fatalf("Open(%q) worked", rawURL)
	}
	if took := time.Since(start); took >= 5*time.Second {
		t.Errorf("Open(%q) took %v to fail, want under 5s", rawURL, took)
	}
	return err.Error()
}

func wantParts(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("the error is %q, want it to say %q", text, part)
		}
	}
}

func TestOpenWorksOverSocketAndTCP(t *testing.T) {
	t.Parallel()
	for _, options := range [][]redistest.Option{nil, {redistest.WithTCP()}, {redistest.WithPassword("p@ss:w/o?r#d%")}} {
		s := redistest.Start(t, options...)
		c := open(t, s.URL)
		if err := c.Set(t.Context(), "k", "v", 0).Err(); err != nil {
			t.Errorf("%s: %v", Redacted(s.URL), err)
		}
	}
}

func TestOpenSignsInAsANamedUser(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.WithTCP())
	const user, password = "eva@corp:1", "p@ss:w/o?r#d%41"
	err := s.Client(t).Do(t.Context(), "ACL", "SETUSER", user, "on", ">"+password, "~*", "&*", "+@all").Err()
	if err != nil {
		t.Fatal(err)
	}
	c := open(t, "redis://"+url.QueryEscape(user)+":"+url.QueryEscape(password)+"@"+s.Addr+"/2")
	who, err := c.Do(t.Context(), "ACL", "WHOAMI").Text()
	if err != nil || who != user {
		t.Errorf("signed in as %q, %v, want %q", who, err, user)
	}
	if info := c.ClientInfo(t.Context()).Val(); info == nil || info.DB != 2 || info.Name != "evalq" {
		t.Errorf("CLIENT INFO = %+v, want database 2 and the name evalq", info)
	}
}

func TestOpenHonoursDeadlinesAfterwards(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := open(t, s.URL)
	if err := s.Client(t).Do(t.Context(), "CLIENT", "PAUSE", "3000", "ALL").Err(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := c.Get(ctx, "k").Err(); err == nil {
		t.Error("a paused server answered")
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("a command with a deadline of 100ms ended after %v", took)
	}
}

func TestOpenExplainsRefusedCredentials(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.WithTCP(), redistest.WithPassword("right"))
	text := openFails(t, "redis://:wr0ng@"+s.Addr)
	wantParts(t, text, "refused the user name or password", "redis://:***@"+s.Addr+"/0")
	if strings.Contains(text, "wr0ng") {
		t.Errorf("the error shows the password: %q", text)
	}
	wantParts(t, openFails(t, "redis://"+s.Addr), "wants a password", "redis://user:password@host")
}

func TestOpenExplainsMissingRights(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.WithTCP())
	err := s.Client(t).Do(t.Context(), "ACL", "SETUSER", "weak", "on", ">pw", "~*", "+ping", "+hello").Err()
	if err != nil {
		t.Fatal(err)
	}
	wantParts(t, openFails(t, "redis://weak:pw@"+s.Addr), "access rules", "NOPERM")
}

func TestOpenExplainsAMissingDatabase(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.WithTCP())
	wantParts(t, openFails(t, "redis://"+s.Addr+"/99"), "no database 99")
}

func TestOpenTellsAtOnceThatNothingListens(t *testing.T) {
	t.Parallel()
	start := time.Now()
	port := strconv.Itoa(redistest.FreePort(t))
	wantParts(t, openFails(t, "redis://:s3cret@127.0.0.1:"+port), "nothing answers there", "redis://:***@127.0.0.1:"+port)
	wantParts(t, openFails(t, "rediss://127.0.0.1:"+port), "nothing answers there")
	wantParts(t, openFails(t, "unix://"+filepath.Join(t.TempDir(), "no.sock")), "nothing answers there", "no.sock")
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("three closed doors took %v", took)
	}
}

func TestOpenGivesUpOnAServerThatNeverAnswers(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, nobody reads
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	var both sync.WaitGroup
	for _, scheme := range []string{"redis://", "rediss://"} {
		both.Go(func() {
			wantParts(t, openFails(t, scheme+silent.Addr().String()), "no answer in time", silent.Addr().String())
		})
	}
	both.Wait()
}

func TestOpenEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := redistest.Start(t)
	if _, err := Open(ctx, s.URL, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Open = %v, want context.Canceled", err)
	}
}

func TestOpenRefusesAnOldServer(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{"6.0.20": "6.2 or newer", "": "6.2 or newer", "5": "6.2 or newer"} {
		old := miniredis.RunT(t)
		old.Server().SetPreHook(func(p *server.Peer, cmd string, _ ...string) bool {
			if cmd == "INFO" {
				p.WriteBulk("# Server\r\nredis_version:" + version + "\r\n")
			}
			return cmd == "INFO"
		})
		wantParts(t, openFails(t, "redis://"+old.Addr()), want, version)
	}
}

func TestCheckVersionAcceptsSixPointTwoAndLater(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"6.2.0", "6.2", "7.0.15", "8.0.2", "10.0"} {
		if err := CheckVersion("# Server\r\nredis_version:" + version + "\r\nredis_mode:standalone\r\n"); err != nil {
			t.Errorf("%s: %v", version, err)
		}
	}
}

func TestOpenWaitsWhileTheServerLoads(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	pings := 0
	loading := miniredis.RunT(t)
	loading.Server().SetPreHook(func(p *server.Peer, cmd string, _ ...string) bool {
		mu.Lock()
		defer mu.Unlock()
		switch cmd {
		case "PING":
			if pings++; pings <= 3 {
				p.WriteError("LOADING Redis is loading the dataset in memory")
				return true
			}
		case "INFO":
			p.WriteBulk("redis_version:7.0.0\r\n")
			return true
		}
		return false
	})
	open(t, "redis://"+loading.Addr())
	if mu.Lock(); pings != 4 {
		t.Errorf("%d pings, want 4", pings)
	}
	mu.Unlock()
}

func TestOpenSpeaksTLS(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	addr := tlsInFrontOf(t, s.Socket)
	c := open(t, "rediss://"+addr+"?skip_verify=true")
	if err := c.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Error(err)
	}
	wantParts(t, openFails(t, "rediss://"+addr), "certificate is not trusted", "skip_verify")
}

func TestOpenTellsTLSFromPlain(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.WithTCP())
	wantParts(t, openFails(t, "rediss://"+s.Addr), "if it does not speak TLS, write redis://")
}

func TestOpenTellsWhatIsNotRedisAtAll(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	address := web.Listener.Addr().String()
	text := openFails(t, "redis://:s3cret@"+address)
	wantParts(t, text, "this does not speak Redis", "redis://:***@"+address)
	if strings.Contains(text, "parse") || strings.Contains(text, "HTTP/1.1") {
		t.Errorf("the parser speaks: %s", text)
	}
}

func TestOpenTellsTLSFromAServerThatTalksFirst(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "-ERR not here\r\n")
		io.Copy(io.Discard, conn)
	})
	t.Cleanup(func() { l.Close(); serving.Wait() })
	wantParts(t, openFails(t, "rediss://"+l.Addr().String()), "the server does not speak TLS: write redis://")
}

func TestLogToTakesOverTheClientsMessages(t *testing.T) {
	// Not parallel: the library has one logger for the whole process.
	var text strings.Builder
	LogTo(slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Cleanup(func() { LogTo(slog.Default()) })
	c := redis.NewClient(&redis.Options{Network: "unix", Addr: filepath.Join(t.TempDir(), "no.sock"), MaxRetries: -1, DialerRetries: 1})
	defer c.Close()
	if err := c.Ping(t.Context()).Err(); err == nil {
		t.Fatal("a socket that does not exist answered")
	}
	if got := text.String(); !strings.Contains(got, `msg="redis client"`) || !strings.Contains(got, "no.sock") {
		t.Errorf("the log has %q, want the failure to dial", got)
	}
}

// tlsInFrontOf forwards TLS connections to a unix socket, with a certificate
// that nobody trusts, and returns its address.
func tlsInFrontOf(t *testing.T, socket string) string {
	t.Helper()
	issuer := httptest.NewUnstartedServer(nil)
	issuer.StartTLS()
	certificate := issuer.TLS.Certificates[0]
	issuer.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}})
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			outside, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { forward(outside, socket) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		conns.Wait()
	})
	return l.Addr().String()
}

func forward(outside net.Conn, socket string) {
	defer outside.Close()
	inside, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	var up sync.WaitGroup
	up.Go(func() {
		io.Copy(inside, outside)
		inside.Close()
	})
	io.Copy(outside, inside)
	outside.Close()
	up.Wait()
}

func TestOpenRefusesNegativeSettings(t *testing.T) {
	t.Parallel()
	for field, cfg := range map[string]*Config{
		"ConnectTimeout": {ConnectTimeout: -1},
		"DialTimeout":    {DialTimeout: -1},
		"PoolSize":       {PoolSize: -1},
	} {
		if _, err := Open(t.Context(), "redis://localhost", cfg); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("Open with a negative %s = %v, want an error that names it", field, err)
		}
	}
}

func TestConnOptShowsAsynqmonTheRealClient(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := open(t, s.URL)
	page := asynqmon.New(asynqmon.Options{RootPath: "/", RedisConnOpt: ConnOpt(c)})
	answer := httptest.NewRecorder()
	page.ServeHTTP(answer, httptest.NewRequest("GET", "/api/redis_info", nil))
	if body := answer.Body.String(); !strings.Contains(body, `"redis_version"`) {
		t.Errorf("GET /api/redis_info answered %d %q, want the server's fields", answer.Code, body)
	}
}

func TestOpenExplainsASocketOfSomebodyElse(t *testing.T) {
	t.Parallel()
	if text := advice(t.Context(), &net.OpError{Op: "dial", Err: os.ErrPermission}, &redis.Options{}); !strings.Contains(text, "may not open the socket") {
		t.Errorf("advice = %q", text)
	}
}

func TestAClientForLaterConnectsToNothingAndRefusesABadURL(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	server.Stop()
	c, err := New(server.URL, &Config{ClientName: "later"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	server.Restart()
	if got, err := c.ClientGetName(t.Context()).Result(); err != nil || got != "later" {
		t.Errorf("it is called %q, %v", got, err)
	}
	if _, err := New("redis://:pass#word@host", nil); err == nil || strings.Contains(err.Error(), "pass#") {
		t.Errorf("a bad URL: %v", err)
	}
	if _, err := New(server.URL, &Config{PoolSize: -1}); err == nil {
		t.Error("a bad setting went unnoticed")
	}
}
