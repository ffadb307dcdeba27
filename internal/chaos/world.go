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
	"evalq/tasks"
)

// world is all that an experiment has running.
type world struct {
	cfg    Config
	folder string
	redis  *sandbox.Server
	server *sandbox.Server // of the ledger; nil on SQLite
	judge  *process
	nodes  []*node
	books  *books
	direct *redis.Client // past the proxies
	apis   []*client.Client

	judgeURL chan string
	redisIs  string // name and version
	ledgerIs string
}

// node is a process of evalq with the proxies between it and its servers.
type node struct {
	*process
	role          string
	redis, ledger *proxy
	api           *proxy // in front of it; nil without an API
}

// whole is the role of a node that has all of them.
const whole = "all"

func (w *world) whole() bool { return w.cfg.Ledger == SQLite }

// build starts everything. On an error nothing is left of it.
func build(ctx context.Context, cfg Config) (_ *world, err error) {
	w := &world{cfg: cfg, judgeURL: make(chan string, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close(false))
		}
	}()
	if w.folder, err = os.MkdirTemp("", "evalq-chaos-"); err != nil {
		return nil, fmt.Errorf("chaos: %w", err)
	}
	if err := w.startServers(ctx); err != nil {
		return nil, err
	}
	judge, err := w.startJudge(ctx)
	if err != nil {
		return nil, err
	}
	if err := w.startNodes(ctx, judge); err != nil {
		return nil, err
	}
	return w, w.inspect(ctx)
}

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

// open opens the books, once there is a schema.
func (w *world) open(ctx context.Context) (err error) {
	place := filepath.Join(w.folder, "data", "evalq.db")
	if w.server != nil {
		place = w.server.URL()
	}
	if w.books, err = openBooks(w.cfg.Ledger, place); err != nil {
		return fmt.Errorf("chaos: open the books: %w", err)
	}
	return w.roomy(ctx)
}

// inspect asks the servers who they are.
func (w *world) inspect(ctx context.Context) (err error) {
	if w.ledgerIs, err = w.books.about(ctx, w.cfg.Ledger); err != nil {
		return fmt.Errorf("chaos: ask the ledger's server for its version: %w", err)
	}
	info, err := w.direct.Info(ctx, "server").Result()
	if err != nil {
		return fmt.Errorf("chaos: ask Redis for its version: %w", err)
	}
	w.redisIs = "Redis"
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "redis_version:"); ok {
			w.redisIs += " " + v
		}
	}
	return nil
}

// role lists the nodes that have it.
func (w *world) role(role string) []*node {
	var out []*node
	for _, n := range w.nodes {
		if n.role == role || n.role == whole {
			out = append(out, n)
		}
	}
	return out
}

// stop ends the nodes in order, and the judge. What did not end well is told.
func (w *world) stop() []string {
	var problems []string
	for _, role := range []string{whole, "worker", "relay", "api"} {
		for _, n := range w.nodes {
			if n.role != role || n.process == nil {
				continue
			}
			if err := n.end(); err != nil {
				problems = append(problems, err.Error())
			}
			problems = append(problems, n.own...)
		}
	}
	if err := w.judge.end(); err != nil {
		problems = append(problems, err.Error())
	}
	return append(problems, w.judge.own...)
}

// close ends everything. With keep the folder stays, with the servers' data in
// it.
func (w *world) close(keep bool) error {
	for _, c := range w.apis {
		_ = c.Close()
	}
	for _, n := range w.nodes {
		if n.process != nil {
			n.drop()
		}
		for _, p := range []*proxy{n.redis, n.ledger, n.api} {
			if p != nil {
				_ = p.close()
			}
		}
	}
	if w.judge != nil {
		w.judge.drop()
	}
	var errs []error
	if w.books != nil {
		errs = append(errs, w.books.close())
	}
	if w.direct != nil {
		errs = append(errs, w.direct.Close())
	}
	for _, s := range []*sandbox.Server{w.server, w.redis} {
		switch {
		case s == nil:
		case keep:
			errs = append(errs, s.Stop())
		default:
			errs = append(errs, s.Close())
		}
	}
	if !keep && w.folder != "" {
		errs = append(errs, os.RemoveAll(w.folder))
	}
	return errors.Join(errs...)
}

// priorityOf spreads reports over the queues.
func priorityOf(n int) tasks.Priority {
	switch {
	case n < 2:
		return tasks.Critical
	case n < 7:
		return tasks.Default
	}
	return tasks.Low
}
