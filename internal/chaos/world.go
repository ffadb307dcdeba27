package chaos

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/redis/go-redis/v9"

	"evalq/client"
	"evalq/internal/sandbox"
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

	ballast *sql.Tx // what fills a MariaDB up

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
