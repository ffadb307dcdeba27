package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"evalq/tasks"
)

const (
	// headerLedger and epochKey have to stay equal to the relay's.
	headerLedger = "evalq-ledger"
	epochKey     = "epoch"

	archiveCap  = 10_000 // of Asynq, a queue
	archiveNear = 8_000
	sample      = 200 // tasks of a state that are looked at, a queue
)

// queues are the names of ours in Asynq.
func (v *visit) queues() []string {
	var out []string
	for _, p := range tasks.Priorities() {
		out = append(out, v.Namespace.Queue(p))
	}
	return out
}

// queuesEpoch reads whose queues these are, from the key that a relay writes.
func (v *visit) queuesEpoch(ctx context.Context) ([]Finding, error) {
	if v.Ledger == nil || v.Ledger.ID() == "" {
		return none()
	}
	key := v.Namespace.Key(epochKey)
	epoch, err := v.Redis.Get(ctx, key).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	switch owner, _, _ := strings.Cut(epoch, " "); owner {
	case v.Ledger.ID():
		return one(fine("the queues belong to this ledger"))
	case "":
		return one(note("no relay has filled this Redis from the ledger yet, or it was wiped a moment ago", "nothing, when no server has run on it; else ask again in a few seconds"))
	default:
		return one(failure(fmt.Sprintf("the queues in this Redis belong to the ledger %s, this one is %s: no server starts", clip(owner), v.Ledger.ID()),
			fmt.Sprintf("give this ledger another Redis, another database number or a --namespace of its own; or, when the other ledger is gone for good: DEL %s", key)))
	}
}

// queuesForeign looks into the queues for tasks that this ledger's relay did not
// put there.
func (v *visit) queuesForeign(ctx context.Context) ([]Finding, error) {
	if v.Ledger == nil {
		return none()
	}
	known, err := v.Redis.SMembers(ctx, "asynq:queues").Result()
	if err != nil {
		return nil, err
	}
	insp := asynq.NewInspectorFromRedisClient(bounded{v.Redis, ctx})
	looked, plain, foreign := 0, map[string]int{}, map[string]int{}
	var owner string
	for _, q := range v.queues() {
		if !slices.Contains(known, q) {
			continue
		}
		for _, list := range []func(string, ...asynq.ListOption) ([]*asynq.TaskInfo, error){
			insp.ListPendingTasks, insp.ListActiveTasks, insp.ListScheduledTasks, insp.ListRetryTasks, insp.ListArchivedTasks,
		} {
			infos, err := list(q, asynq.PageSize(sample))
			if err != nil {
				return nil, err
			}
			for _, t := range infos {
				looked++
				switch id := t.Headers[headerLedger]; id {
				case v.Ledger.ID():
				case "":
					plain[q]++
				default:
					foreign[q]++
					owner = id
				}
			}
		}
	}
	var out []Finding
	if len(foreign) > 0 {
		out = append(out, warning(fmt.Sprintf("of %s looked at, some belong to another ledger, such as %s: %s; workers set them aside and never begin them", amount(looked, "task"), clip(owner), byQueue(foreign)),
			"give each ledger another Redis, another database number or a --namespace of its own, then delete these tasks in Asynqmon"))
	}
	if len(plain) > 0 {
		out = append(out, note(fmt.Sprintf("of %s looked at, some came from plain Asynq producers or redis:// clients: %s; until a worker takes them over, this Redis alone has them", amount(looked, "task"), byQueue(plain)), ""))
	}
	if len(out) == 0 {
		return one(fine("of %s looked at, all are this ledger's", amount(looked, "task")))
	}
	return out, nil
}

// bounded is a client whose calls end with ctx. Asynq's inspector passes none.
type bounded struct {
	redis.UniversalClient
	ctx context.Context
}

func (b bounded) SIsMember(_ context.Context, key string, member any) *redis.BoolCmd {
	return b.UniversalClient.SIsMember(b.ctx, key, member)
}

func (b bounded) Eval(_ context.Context, script string, keys []string, args ...any) *redis.Cmd {
	return b.UniversalClient.Eval(b.ctx, script, keys, args...)
}

func (b bounded) EvalSha(_ context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	return b.UniversalClient.EvalSha(b.ctx, sha, keys, args...)
}

// byQueue lists counts, such as "3 in critical, 1 in low".
func byQueue(counts map[string]int) string {
	var parts []string
	for q, n := range counts {
		parts = append(parts, fmt.Sprintf("%d in %s", n, q))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

func (v *visit) queuesOthers(ctx context.Context) ([]Finding, error) {
	known, err := v.Redis.SMembers(ctx, "asynq:queues").Result()
	if err != nil {
		return nil, err
	}
	ours := append(v.queues(), v.Namespace.Queue(tasks.Messages))
	others := slices.DeleteFunc(known, func(q string) bool { return slices.Contains(ours, q) })
	if len(others) == 0 {
		return one(fine("no queues but those of evalq"))
	}
	slices.Sort(others)
	n := len(others)
	names := make([]string, 0, 5)
	for _, q := range others[:min(n, 5)] {
		names = append(names, clip(q))
	}
	if n > 5 {
		names = append(names, "…")
	}
	return one(note(fmt.Sprintf("%s in this Redis beside those of evalq: %s; evalq leaves them alone", amount(n, "queue"), strings.Join(names, ", ")),
		"nothing, when they are another program's or another --namespace; what they hold counts against the same memory"))
}

func (v *visit) queuesArchive(ctx context.Context) ([]Finding, error) {
	var out []Finding
	most := int64(0)
	for _, q := range v.queues() {
		n, err := v.Redis.ZCard(ctx, "asynq:{"+q+"}:archived").Result()
		if err != nil {
			return nil, err
		}
		most = max(most, n)
		if n >= archiveNear {
			out = append(out, warning(fmt.Sprintf("the queue %s has %d archived tasks; from %d on, Asynq drops the oldest, and Asynqmon shows no more of those jobs", q, n, archiveCap),
				"run them again or cancel them: `evalq list --state dead`, or Asynqmon's page of archived tasks; the ledger keeps dead jobs all the same"))
		}
	}
	if len(out) == 0 {
		return one(fine("%d archived tasks at most in a queue", most))
	}
	return out, nil
}

// queuesPaused asks both places: the ledger, which keeps what operators wanted,
// and Redis, which workers ask.
func (v *visit) queuesPaused(ctx context.Context) ([]Finding, error) {
	wanted := map[tasks.Priority]bool{}
	if v.Ledger != nil {
		var err error
		if wanted, err = v.Ledger.Paused(ctx); err != nil {
			return nil, err
		}
	}
	var paused, only []string
	for _, p := range tasks.Priorities() {
		q := v.Namespace.Queue(p)
		n, err := v.Redis.Exists(ctx, "asynq:{"+q+"}:paused").Result()
		if err != nil {
			return nil, err
		}
		switch {
		case n > 0 && (wanted[p] || v.Ledger == nil):
			paused = append(paused, q)
		case n > 0:
			only = append(only, q+" (in Redis alone)")
		case wanted[p]:
			only = append(only, q+" (in the ledger alone: its jobs run)")
		}
	}
	switch {
	case len(only) > 0:
		return one(note("paused: "+strings.Join(slices.Concat(paused, only), ", "), "somebody paused or resumed past the dashboard; do it once more there, and both agree"))
	case len(paused) > 0:
		return one(note("paused: "+strings.Join(paused, ", ")+"; their jobs wait", "resume them in Asynqmon when it is time"))
	}
	return one(fine("no queue is paused"))
}
