package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"evalq/internal/config"
	"evalq/internal/doctor"
	"evalq/internal/redisconn"
)

// Serve runs every role in this process until ctx ends, and drains. It tells
// out where it answers, which engine it uses and what that promises.
func Serve(ctx context.Context, cfg config.Config, out io.Writer, log *slog.Logger) error {
	return ServeWith(ctx, cfg, Extras{}, out, log)
}

// ServeWith is Serve for a program that brings handlers of its own.
func ServeWith(ctx context.Context, cfg config.Config, x Extras, out io.Writer, log *slog.Logger) (err error) {
	redisconn.LogTo(log)
	a, err := Open(ctx, cfg, x, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	a.announce(ctx, out)
	return a.runAndSay(ctx, out)
}

// runAndSay is Run with a last word for who pressed Ctrl-C.
func (a *App) runAndSay(ctx context.Context, out io.Writer) error {
	err := a.Run(ctx)
	if err == nil {
		fmt.Fprintln(out, "stopped; what is unfinished goes on at the next start")
	}
	return err
}

// LogStart logs what runs here, for a program that prints nothing of its own.
func (a *App) LogStart() {
	attrs := []any{"build", Version(), "roles", strings.Join(a.cfg.Roles, ","), "ledger", a.ledger.place, "engine", a.engine.name}
	if a.worker != nil {
		attrs = append(attrs, "slots", a.cfg.Concurrency)
	}
	if a.mirror != nil {
		attrs = append(attrs, "platform", a.mirror.platform.Place)
	}
	if a.listener != nil {
		attrs = append(attrs, "url", a.URL())
	}
	a.log.Info("started", attrs...)
}

func (a *App) announce(ctx context.Context, out io.Writer) {
	fmt.Fprintf(out, "evalq %s\n", Version())
	if !slices.Contains(a.cfg.Roles, "all") {
		fmt.Fprintf(out, "roles      %s\n", strings.Join(a.cfg.Roles, ", "))
	}
	fmt.Fprintf(out, "ledger     %s; what is accepted is on disk before the answer\n", a.ledger.place)
	if a.mirror != nil {
		fmt.Fprintf(out, "platform   MySQL, %s; interviews come from there, results go there\n", a.mirror.platform.Place)
	}
	fmt.Fprintf(out, "engine     %s: %s\n", a.engine.name, a.engine.promise)
	if a.bridge != nil {
		does := "turns into jobs"
		if a.cfg.BridgeShadow {
			does = "only compares"
		}
		fmt.Fprintf(out, "bridge     %s what old programs publish on %s\n", does, redisconn.Redacted(a.cfg.BridgeURL()))
	}
	if found := a.checkup(ctx); len(found) > 0 {
		fmt.Fprintf(out, "doctor     %s; `evalq doctor` tells more\n", doctor.Summary(found))
	}
	if a.listener == nil {
		fmt.Fprintln(out, "serving    nothing over HTTP; --listen adds health checks")
		return
	}
	if a.cfg.Runs(config.RoleDashboard) {
		fmt.Fprintf(out, "dashboard  %s/\n", a.URL())
	}
	if a.cfg.Runs(config.RoleAPI) {
		fmt.Fprintf(out, "API        %s/docs\n", a.URL())
	}
	fmt.Fprintf(out, "health     %s/readyz\n", a.URL())
	if a.cfg.OperatorToken == "" {
		fmt.Fprintf(out, "sign-in    none: open to everybody on this machine; set EVALQ_OPERATOR_TOKEN to change that\n")
	}
}
