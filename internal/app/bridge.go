package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"evalq/internal/config"
	"evalq/internal/ledger"
	"evalq/internal/redisconn"
	"evalq/mq"
	"evalq/tasks"
)

// interviews knows of interviews by ranges of ids: a user and a report each, at
// most limit of them.
type interviews interface {
	Interviews(ctx context.Context, userLow, userHigh, reportLow, reportHigh int64, limit int) ([][2]int64, error)
}

// bridged is the ledger as a bridge sees it.
type bridged struct {
	*ledger.Ledger
	others []interviews // beside those that are in the ledger
}

func (b bridged) Interviews(ctx context.Context, userLow, userHigh, reportLow, reportHigh int64, limit int) ([][2]int64, error) {
	all, err := b.Ledger.Interviews(ctx, userLow, userHigh, reportLow, reportHigh, limit)
	for _, o := range b.others {
		if err != nil {
			return nil, err
		}
		var more [][2]int64
		more, err = o.Interviews(ctx, userLow, userHigh, reportLow, reportHigh, limit)
		all = append(all, more...)
	}
	return all, err
}

// openBridge makes the bridge of a process that has the role. It connects to
// nothing: evalq's own work does not depend on the platform's Redis.
func openBridge(cfg config.Config, b bridged, log *slog.Logger) (*mq.Bridge, error) {
	if !cfg.Runs(config.RoleBridge) {
		return nil, nil
	}
	client, err := redisconn.New(cfg.BridgeURL(), &redisconn.Config{ClientName: "evalq-bridge"})
	if err != nil {
		return nil, fmt.Errorf("app: open the bridge: %w", err)
	}
	bridge, err := mq.NewBridge(client, b, &mq.BridgeConfig{Prefixes: cfg.BridgePrefixes, Shadow: cfg.BridgeShadow, Logger: log})
	return bridge, errors.Join(err, client.Close()) // the bridge makes its own
}

// Replay submits what the bridge has set aside, or package mq had no room for, as it reads it now, and settles it.
// UserID and reportID, when not 0, name the true ids of a damaged message. What
// still cannot be submitted stays, with its new reason.
func (b bridged) Replay(ctx context.Context, id, userID, reportID int64, who string) (tasks.Job, error) {
	q, body, err := b.QuarantinedBody(ctx, id)
	if err != nil {
		return tasks.Job{}, err
	}
	if q.Source != "bridge" && q.Source != tasks.SourceEvaluations {
		return tasks.Job{}, fmt.Errorf("app: replay: what came from %s is not sent again from here; its sender has to: %w", q.Source, tasks.ErrConflict)
	}
	job, err := mq.Replay(ctx, b, body, userID, reportID, who)
	var invalid *tasks.InvalidError
	if errors.As(err, &invalid) && userID == 0 && reportID == 0 {
		return tasks.Job{}, errors.Join(err, b.StillQuarantined(ctx, id, invalid.Error()))
	}
	if err != nil {
		return tasks.Job{}, err
	}
	if err := b.Settle(ctx, id, who, "replayed as job "+job.ID); err != nil && !errors.Is(err, tasks.ErrNotFound) {
		return tasks.Job{}, err // asked again, it is the same job
	}
	return job, nil
}
