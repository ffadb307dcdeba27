package sandbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
)

const redisAdvice = "apt-get install redis-server, brew install redis"

// longestSocket is what every system can hold of a unix socket's path.
const longestSocket = 100

// StartRedis starts an empty Redis, or a Valkey, with an append-only file, and
// returns when it answers. ctx bounds the start, not the server's life.
func StartRedis(ctx context.Context, cfg *Config) (*Server, error) {
	binary, err := find("valkey-server")
	if err != nil {
		binary, err = find("redis-server")
	}
	if err != nil {
		return nil, fmt.Errorf("sandbox: start Redis: %w", notInstalled(redisAdvice))
	}
	return start(ctx, redis{binary}, cfg, cfg != nil && cfg.TCP, nil)
}

type redis struct{ binary string }

func (redis) String() string { return "Redis" }

func (redis) prepare(_ context.Context, s *Server) error {
	if path := s.socket(); !s.cfg.TCP && len(path) > longestSocket {
		return fmt.Errorf("%q is too long for a unix socket: choose a shorter folder, or TCP", path)
	}
	if err := os.Mkdir(s.path(dataName), 0o700); err != nil {
		return err
	}
	// In a file, since all users see the arguments of a process.
	return os.WriteFile(s.path("redis.conf"), []byte("requirepass "+s.password+"\n"), 0o600)
}

func (s *Server) socket() string { return s.path("redis.sock") }

func (r redis) command(s *Server) (string, []string) {
	args := []string{
		s.path("redis.conf"), "--dir", s.path(dataName), "--daemonize", "no",
		"--save", "", "--appendonly", "yes", "--maxmemory-policy", "noeviction",
	}
	if s.cfg.FsyncAlways {
		args = append(args, "--appendfsync", "always")
	} else {
		args = append(args, "--appendfsync", "everysec")
	}
	if s.port != 0 {
		return r.binary, append(args, "--bind", loopback, "--port", fmt.Sprint(s.port))
	}
	return r.binary, append(args, "--port", "0", "--unixsocket", s.socket(), "--unixsocketperm", "700")
}

func (redis) url(s *Server, _ string) string {
	u := url.URL{Scheme: "unix", User: url.UserPassword("", s.password), Path: s.socket()}
	if s.port != 0 {
		u.Scheme, u.Host, u.Path = "redis", s.Addr(), ""
	}
	return u.String()
}

// ping speaks Redis's protocol itself: a client would print each failure.
func (redis) ping(ctx context.Context, s *Server) error {
	network, address := "unix", s.socket()
	if s.port != 0 {
		network, address = "tcp", s.Addr()
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintf(conn, "AUTH %s\r\nPING\r\n", s.password); err != nil {
		return err
	}
	answers := bufio.NewScanner(conn)
	for _, want := range []string{"+OK", "+PONG"} {
		if !answers.Scan() {
			return errors.Join(errors.New("it hung up"), answers.Err())
		}
		if got := strings.TrimSpace(answers.Text()); got != want {
			return errors.New(strings.TrimPrefix(got, "-"))
		}
	}
	return nil
}

func (redis) stopSignal() os.Signal { return syscall.SIGTERM }

func (redis) dropSignal() os.Signal { return os.Kill }
