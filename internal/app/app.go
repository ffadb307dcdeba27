// Package app is the composition root: it opens every part of evalq, hands the
// parts to each other and runs them.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"runtime/debug"
	"slices"
	"time"

	"evalq/dashboard"
	"evalq/internal/api"
	"evalq/internal/config"
	"evalq/internal/evaluation"
	"evalq/internal/httpserve"
	"evalq/internal/ledger"
	"evalq/internal/platform"
	"evalq/internal/relay"
	"evalq/internal/service"
	"evalq/mq"
	"evalq/tasks"
	"evalq/worker"
)

// version is set by the linker: -ldflags "-X evalq/internal/app.version=v1.2.3".
var version string

// Version names this build: what the linker was told, else the module version
// or revision that Go recorded, else "dev".
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	return "dev"
}

// Extras is what a program that embeds evalq brings along.
type Extras struct {
	// Handlers are added to evalq's own; one for a built-in kind replaces it.
	Handlers map[tasks.Kind]worker.Handler
	// Classify is worker.Config.Classify.
	Classify func(error) tasks.Class
	// Policies overrides the policy table. Defaults to tasks.PolicyFor.
	Policies func(tasks.Kind) tasks.Policy
	// Suggested is dashboard.Config.Suggested.
	Suggested func(reportID int64) (doc []byte, ok bool)
	// Judge evaluates answers. Defaults to the offline judge.
	Judge evaluation.Judge
	// Opened is told of the ledger once it is open. Defaults to nobody.
	Opened func(Database)
}

// Database runs statements of its own kind on the connection that a ledger
// writes through.
type Database interface {
	Exec(ctx context.Context, statement string) error
}

// App is evalq in one process, or the roles of it that this process has. Open acquires everything, Run serves,
// Close releases.
type App struct {
	cfg      config.Config
	log      *slog.Logger
	ledger   *store
	mirror   *mirror // nil without a platform's database
	engine   *carrier
	relay    *relay.Relay
	worker   *worker.Server
	bridge   *mq.Bridge
	board    *dashboard.Handler
	messages *messages
	listener net.Listener
	http     *httpserve.Server
	stopping context.Context // ends when the HTTP server is to stop
	stop     context.CancelFunc
}

// Open opens the ledger, the engine and the listener, in this order, so that
// bad settings are told before anything runs.
func Open(ctx context.Context, cfg config.Config, x Extras, log *slog.Logger) (_ *App, err error) {
	a := &App{cfg: cfg, log: log}
	a.stopping, a.stop = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	policies := policyTable(cfg, x.Policies)
	if cfg.Listen != "" {
		if a.listener, err = listen(cfg.Listen); err != nil {
			return nil, err
		}
	}
	if a.ledger, err = openStore(ctx, cfg, &ledger.Config{Build: Version(), Policies: policies, InterviewWait: cfg.InterviewWait, KindWait: cfg.KindWait}, log); err != nil {
		return nil, err
	}
	if x.Opened != nil {
		x.Opened(a.ledger)
	}
	if cfg.PlatformDB != "" {
		p, err := platform.Open(ctx, cfg.PlatformDB, nil)
		if err != nil {
			return nil, err
		}
		a.mirror = &mirror{p, a.ledger.Ledger, log}
	}
	if a.engine, err = openCarrier(ctx, cfg, log); err != nil {
		return nil, err
	}
	if err := relay.Claim(ctx, a.engine.client, tasks.Namespace(cfg.Namespace), a.ledger.ID()); err != nil {
		return nil, err
	}
	if a.messages, err = openMessages(cfg, a.engine.client, log); err != nil {
		return nil, err
	}
	if cfg.Runs(config.RoleRelay) {
		if a.relay, err = relay.New(a.ledger.Ledger, a.engine.client, &relay.Config{
			Namespace: tasks.Namespace(cfg.Namespace), Window: a.engine.window, Finished: a.engine.finished, History: cfg.History, Policies: policies, Logger: log,
		}); err != nil {
			return nil, err
		}
	}
	handlers, err := evaluators(a.ledger.Ledger, a.mirror, x.Judge, x.Handlers)
	if err != nil {
		return nil, err
	}
	if err := checkPolicies(policies, slices.Sorted(maps.Keys(handlers))); err != nil {
		return nil, err
	}
	// A process that has handlers and is no worker may be the first of its version.
	if err := a.ledger.Announce(ctx, slices.Collect(maps.Keys(handlers))); err != nil {
		return nil, err
	}
	if cfg.Runs(config.RoleWorker) {
		if a.worker, err = worker.New(a.engine.client, a.ledger.Ledger, &worker.Config{
			Handlers: handlers, Classify: x.Classify, Namespace: tasks.Namespace(cfg.Namespace),
			Slots: cfg.Concurrency, StrictPriority: cfg.StrictPriority, BeatInterval: a.ledger.beat(),
			DrainTimeout: cfg.ShutdownTimeout, Build: Version(), Logger: log,
		}); err != nil {
			return nil, err
		}
	}
	if a.bridge, err = openBridge(cfg, a.bridged(), log); err != nil {
		return nil, err
	}
	if a.listener == nil {
		return a, nil
	}
	return a, a.openHTTP(x)
}

// bridged knows of the platform's interviews too, when its database is known.
func (a *App) bridged() bridged {
	b := bridged{Ledger: a.ledger.Ledger}
	if a.mirror != nil {
		b.others = append(b.others, a.mirror.platform)
	}
	return b
}

// policyTable is the table with what the settings change in it.
func policyTable(cfg config.Config, base func(tasks.Kind) tasks.Policy) func(tasks.Kind) tasks.Policy {
	if base == nil {
		base = tasks.PolicyFor
	}
	return func(k tasks.Kind) tasks.Policy {
		p := filled(base(k), tasks.PolicyFor(k))
		p.Retention = cfg.Retention
		return p
	}
}

// filled is p with the table's values where it says nothing.
func filled(p, table tasks.Policy) tasks.Policy {
	for _, n := range []struct{ own, table *int }{{&p.Attempts, &table.Attempts}, {&p.Deaths, &table.Deaths}} {
		if *n.own == 0 {
			*n.own = *n.table
		}
	}
	for _, d := range []struct{ own, table *time.Duration }{
		{&p.TransientFor, &table.TransientFor}, {&p.CallTimeout, &table.CallTimeout}, {&p.IdleTimeout, &table.IdleTimeout},
		{&p.TotalTimeout, &table.TotalTimeout}, {&p.BackoffBase, &table.BackoffBase}, {&p.BackoffMax, &table.BackoffMax},
	} {
		if *d.own == 0 {
			*d.own = *d.table
		}
	}
	return p
}

// checkPolicies refuses a table that no job of these kinds can be run by.
func checkPolicies(policies func(tasks.Kind) tasks.Policy, kinds []tasks.Kind) error {
	for _, k := range kinds {
		if err := policies(k).Validate(); err != nil {
			return fmt.Errorf("app: Policies: kind %q: %w", k, err)
		}
	}
	return nil
}

func (a *App) openHTTP(x Extras) (err error) {
	if a.board, err = dashboard.New(pages{a.bridged(), a.mirror}, a.engine.client, &dashboard.Config{
		Users: users(a.cfg), Namespace: tasks.Namespace(a.cfg.Namespace), Suggested: x.Suggested, Build: Version(), Logger: a.log,
	}); err != nil {
		return err
	}
	rest, err := api.New(patient{a.ledger.Ledger, a.stopping, a.mirror}, &api.Config{
		Build: Version(), Logger: a.log, Who: caller,
		House: house{
			ledger: a.ledger.house, sweeper: relay.NewSweeper(a.ledger.Ledger, a.engine.client, tasks.Namespace(a.cfg.Namespace)),
			filler: &filler{a.ledger.Ledger, a.mirror, a.log}, aside: a.bridged(), log: a.log,
		},
		Checks:      a.checks(),
		Original:    a.original(),
		Connections: func() api.Connections { return api.Connections(a.http.Stats()) },
	})
	if err != nil {
		return err
	}
	a.http, err = httpserve.New(mount(a.cfg, rest, a.board), &httpserve.Config{
		Connections: a.cfg.MaxConnections, PerAddress: a.cfg.ConnectionsPerAddress,
		Probes: probes, Busy: busy, Logger: a.log,
	})
	return err
}

// checks are what readiness depends on beside the ledger.
func (a *App) checks() map[string]func(context.Context) error {
	all := map[string]func(context.Context) error{
		"redis":    newRedisProbe(a.engine.client, tasks.Namespace(a.cfg.Namespace)).check,
		"messages": a.messages.check,
	}
	if a.bridge != nil {
		all["bridge"] = a.bridge.Ready
	}
	return all
}

// URL is where the program answers, as seen from this machine; empty when it
// does not listen.
func (a *App) URL() string {
	if a.listener == nil {
		return ""
	}
	return "http://" + seen(a.listener.Addr().String())
}

// Run serves until ctx ends, then stops in order: the worker takes no more
// tasks and drains while the API still accepts, then the relay, then the API, the
// bridge, and the engine. It returns worker.ErrStuck when half of the slots hang.
func (a *App) Run(ctx context.Context) error {
	g := &service.Group{Logger: a.log}
	g.Add("engine", a.engine.run)
	if a.ledger.shared {
		w := &waker{ledger: a.ledger.Ledger, rdb: a.engine.client, channel: tasks.Namespace(a.cfg.Namespace).Key("wake:" + a.ledger.ID()), log: a.log}
		if a.relay != nil {
			g.Add("wake", w.hear)
			if a.ledger.listen != nil {
				g.Add("listen", func(ctx context.Context) error { return a.ledger.listen(ctx, a.ledger.Wake) })
			}
		} else {
			g.Add("wake", w.tell)
		}
	}
	if a.bridge != nil {
		g.Add("bridge", a.bridge.Run)
	}
	if a.listener != nil {
		g.Add("api", a.serveHTTP)
	}
	if a.relay != nil {
		g.Add("relay", a.relay.Run)
		g.Add("messages", a.messages.run)
		if a.mirror != nil {
			g.Add("mirror", a.mirror.watch)
		}
	}
	if a.worker != nil {
		g.Add("worker", a.worker.Run)
	}
	return g.Run(ctx)
}

// Close releases what Open acquired; Run has returned by then, or never began.
func (a *App) Close() error {
	a.stop()
	var errs []error
	if a.board != nil {
		errs = append(errs, a.board.Close())
	}
	if a.listener != nil {
		if err := a.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if a.engine != nil {
		errs = append(errs, a.engine.close())
	}
	if a.mirror != nil {
		errs = append(errs, a.mirror.platform.Close())
	}
	if a.ledger != nil {
		errs = append(errs, a.ledger.close())
	}
	return errors.Join(errs...)
}

// requestGrace is how long requests under way may take when the program stops.
const requestGrace = 15 * time.Second

func (a *App) serveHTTP(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() { failed <- a.http.Serve(a.listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("app: %w", err)
	case <-ctx.Done():
	}
	a.stop()
	grace, cancel := context.WithTimeout(context.Background(), requestGrace)
	defer cancel()
	a.http.Shutdown(grace)
	<-failed
	return nil
}
