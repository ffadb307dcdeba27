package chaos

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"evalq/client"
	"evalq/internal/sandbox"
)

func (w *world) startServers(ctx context.Context) (err error) {
	bear()
	own := &sandbox.Config{Dir: w.folder, TCP: true}
	if w.redis, err = sandbox.StartRedis(ctx, own); err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	o, err := redis.ParseURL(w.redis.URL())
	if err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	w.direct = redis.NewClient(o)
	return w.startLedger(ctx)
}

// startLedger takes the ledger that was asked for, else the first that is
// installed.
func (w *world) startLedger(ctx context.Context) (err error) {
	asked := w.cfg.Ledger != ""
	for _, l := range []string{Postgres, MySQL, SQLite} {
		if asked && l != w.cfg.Ledger {
			continue
		}
		err = nil
		switch l {
		case Postgres:
			w.server, err = sandbox.StartPostgres(ctx, &sandbox.Config{Dir: w.folder, InitArgs: postgresInit})
		case MySQL:
			w.server, err = sandbox.StartMariaDB(ctx, &sandbox.Config{Dir: w.folder, Args: mariadbArgs})
		}
		if !asked && errors.Is(err, sandbox.ErrNotInstalled) {
			w.cfg.Tell("%s is not installed here; the next ledger is tried", l)
			continue
		}
		w.cfg.Ledger = l
		break
	}
	if err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	return nil
}

// startJudge answers where the judge listens.
func (w *world) startJudge(ctx context.Context) (string, error) {
	w.judge = &process{
		name: "judge", program: w.cfg.Program, folder: w.folder, env: w.environment(), mark: "judge ",
		args: []string{"chaos", "judge", "--log", w.judgeLog(), "--seed", strconv.FormatUint(w.cfg.Seed, 10)},
		line: func(text string) {
			if at, ok := strings.CutPrefix(text, "judge "); ok {
				w.judgeURL <- at
			}
		},
	}
	if err := w.judge.start(); err != nil {
		return "", fmt.Errorf("chaos: start the judge: %w", err)
	}
	select {
	case at := <-w.judgeURL:
		return at, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	case <-time.After(upLimit):
		return "", errors.New("chaos: the judge did not start")
	}
}

func (w *world) judgeLog() string { return filepath.Join(w.folder, "calls.log") }

// environment is all that a child gets of ours.
func (w *world) environment(more ...string) []string {
	return append([]string{"HOME=" + w.folder, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + w.folder}, more...)
}

// startNodes starts one node first, which makes the schema, then the others.
func (w *world) startNodes(ctx context.Context, judge string) error {
	roles := []string{"api", "api", "relay", "relay", "worker", "worker", "worker"}
	if w.whole() {
		roles = []string{whole}
	}
	count := map[string]int{}
	for i, role := range roles {
		count[role]++
		n, err := w.startNode(role, fmt.Sprintf("%s%d", role, count[role]), judge, uint64(i))
		if err != nil {
			return fmt.Errorf("chaos: start %s: %w", role, err)
		}
		if i == 0 {
			if err := n.await(ctx); err != nil {
				return fmt.Errorf("chaos: %w", err)
			}
			if err := w.open(ctx); err != nil {
				return err
			}
		}
	}
	for _, n := range w.nodes {
		if err := n.await(ctx); err != nil {
			return fmt.Errorf("chaos: %w", err)
		}
	}
	return nil
}

func (w *world) startNode(role, name, judge string, number uint64) (*node, error) {
	n := &node{role: role}
	w.nodes = append(w.nodes, n) // close finds it, however far it comes
	var err error
	if n.redis, err = newProxy(w.redis.Addr(), w.cfg.Seed+10*number); err != nil {
		return nil, err
	}
	rurl, err := through(w.redis.URL(), n.redis)
	if err != nil {
		return nil, err
	}
	env := []string{"EVALQ_REDIS_URL=" + rurl}
	if w.server != nil {
		if n.ledger, err = newProxy(w.server.Addr(), w.cfg.Seed+10*number+1); err != nil {
			return nil, err
		}
		lurl, err := through(w.server.URL(), n.ledger)
		if err != nil {
			return nil, err
		}
		env = append(env, "EVALQ_LEDGER_URL="+lurl)
	}
	args := []string{"chaos", "node", "--judge", judge, "--roles", role, "--concurrency", "8", "--data-dir", filepath.Join(w.folder, "data")}
	n.process = &process{name: name, program: w.cfg.Program, folder: w.folder, env: w.environment(env...), mark: "evalq "}
	if role == "api" || role == whole {
		args = append(args, "--listen", "127.0.0.1:0")
		if err := w.front(n, number); err != nil {
			return nil, err
		}
	}
	if role == "api" {
		args[5] = "api,dashboard"
	}
	if role == whole {
		args[7] = "24"
	}
	n.args = args
	return n, n.start()
}

// front puts a proxy before an API, so that it keeps its address when the node is
// started again.
func (w *world) front(n *node, number uint64) (err error) {
	if n.api, err = newProxy("", w.cfg.Seed+10*number+2); err != nil {
		return err
	}
	n.line = func(text string) {
		at, ok := strings.CutPrefix(text, "health")
		if !ok {
			return
		}
		if u, err := url.Parse(strings.TrimSpace(at)); err == nil {
			n.api.point(u.Host)
		}
	}
	c, err := client.Open(context.Background(), "http://"+n.api.addr(), &client.Config{Timeout: 5 * time.Second})
	if err != nil {
		return err
	}
	w.apis = append(w.apis, c)
	return nil
}

// through is a server's URL with a proxy's address in it.
func through(raw string, p *proxy) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", err
	}
	u.Host = p.addr()
	return u.String(), nil
}
