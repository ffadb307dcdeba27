package mq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"evalq/internal/redisconn"
	"evalq/tasks"
)

// BridgeLedger is what a Bridge needs of a ledger. All methods may be called at the
// same time and return after their commit; errors are those of package tasks.
type BridgeLedger interface {
	// AcceptMany answers each request, in their order.
	AcceptMany(ctx context.Context, rs []tasks.Request, who string) []tasks.Accepting
	// Find gives the newest job of a key, or tasks.ErrNotFound.
	Find(ctx context.Context, kind tasks.Kind, userID, reportID int64) (tasks.Job, error)
	// Interviews lists whose known interviews have ids in those ranges, ends
	// included: a user and a report each, at most limit of them.
	Interviews(ctx context.Context, userLow, userHigh, reportLow, reportHigh int64, limit int) ([][2]int64, error)
	// QuarantineMany keeps what cannot be read, the same bytes once, and no
	// further ones while most are open. It answers how many are in it.
	QuarantineMany(ctx context.Context, qs []tasks.Quarantined, bodies [][]byte, most int) (kept int, err error)
	// CountBridge adds to the statistics. A SeenAt that is not zero says that the
	// bridge is subscribed; with away not below zero it has just begun, and a
	// channel at which none was seen for longer had a gap.
	CountBridge(ctx context.Context, sums []tasks.BridgeChannel, away time.Duration) error
}

// BridgeConfig tunes a Bridge. The zero value works.
type BridgeConfig struct {
	// Prefixes begin the names of the channels, one for each of the two types.
	// Defaults to "interview:messages:".
	Prefixes []string
	// Shadow only compares: it submits nothing and counts of how many messages
	// the ledger has the job. Defaults to false.
	Shadow bool
	// Buffer is how many messages are kept in memory while the ledger is slow or
	// away, and at most 64 MiB of them. When it is full, Redis keeps some, and
	// then cuts the connection. Defaults to 20000.
	Buffer int
	// FlushTimeout bounds how long Run goes on storing what it has, once it is to
	// stop. Defaults to 10s.
	FlushTimeout time.Duration
	// Logger gets what an operator should know. Defaults to slog.Default().
	Logger *slog.Logger
}

func (c *BridgeConfig) withDefaults() (BridgeConfig, error) {
	d := BridgeConfig{}
	if c != nil {
		d = *c
	}
	if d.Prefixes = slices.Clone(d.Prefixes); len(d.Prefixes) == 0 {
		d.Prefixes = []string{"interview:messages:"}
	}
	for i, p := range d.Prefixes {
		switch {
		case p == "" || len(p) > maxTypeLength:
			return d, fmt.Errorf("Prefixes: %.40q: use 1 to %d bytes", p, maxTypeLength)
		case strings.ContainsFunc(p, func(r rune) bool { return r <= ' ' || r > '~' }):
			return d, fmt.Errorf("Prefixes: %.40q: use printable ASCII without spaces", p)
		case slices.Contains(d.Prefixes[:i], p):
			return d, fmt.Errorf("Prefixes: %.40q: given twice", p)
		}
	}
	switch {
	case d.Buffer < 0:
		return d, fmt.Errorf("Buffer: %d is below zero", d.Buffer)
	case d.Buffer == 0:
		d.Buffer = 20_000
	}
	switch {
	case d.FlushTimeout < 0:
		return d, fmt.Errorf("FlushTimeout: %s is below zero", d.FlushTimeout)
	case d.FlushTimeout == 0:
		d.FlushTimeout = 10 * time.Second
	}
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	return d, nil
}

// bridgeTimes are the pauses of a bridge; tests have shorter ones.
type bridgeTimes struct {
	ping    time.Duration // silence after which the connection is asked for a sign of life
	dead    time.Duration // silence after which it is given up
	backoff time.Duration // the longest pause before another try
	tell    time.Duration // how often counts are written, when there are any
	beat    time.Duration // how often they are written anyway
	remind  time.Duration // how often the same is logged
	look    time.Duration // how long a job may come after its message, in shadow mode
	again   time.Duration // how long the same unreadable bytes are not written again
}

const (
	bridgeWorkers = 8
	bridgeBatch   = 100
	bridgeBytes   = 64 << 20
	// bridgeQuarantine is how many things of the bridge may be open in quarantine,
	// and quarantineBytes how much of each is kept.
	bridgeQuarantine = 10_000
	quarantineBytes  = 16 << 10
	// bridgeAway is above the beat, so that a bridge that lives beside this one is
	// not taken for one that has gone.
	bridgeAway = 3 * time.Second
)

// bridgeName is who submits, and where what is set aside came from.
const bridgeName = "bridge"

// Bridge takes what old programs publish on the Pub/Sub channels of the original
// contract, and submits it to the ledger. Any number of bridges may run beside
// each other: the natural key of a job makes one of what all of them have heard.
//
// A message is submitted passively: it does not revive a dead or cancelled job.
// What cannot be read is set aside in the ledger's quarantine. While the ledger is
// away, messages are kept in memory and tried again without end. Pub/Sub itself
// loses what is published while nobody is subscribed; a bridge counts the times in
// which it was not, as far as it can know.
//
// `evalq serve --roles bridge` runs one, and so does package server with the role
// bridge; both bring evalq's ledger along.
type Bridge struct {
	cfg      BridgeConfig
	ledger   BridgeLedger
	client   func() redis.UniversalClient // a new one with the same options
	channels []string
	times    bridgeTimes
	most     int // of bridgeQuarantine

	running atomic.Bool
	buffer  *bridgeBuffer
	books   *bridgeBooks
	health  bridgeHealth
	line    bridgeLine
	seen    bridgeSeen
	doubts  bridgeDoubts
	// What is logged once in a while: that the quarantine is full, that it took
	// something, that the ledger is away, that it did not take the counts.
	full, aside, away, uncounted reminder
}

// NewBridge makes a bridge from the Redis that old programs publish to. It opens
// connections of its own with the options of rdb, which has to be a *redis.Client;
// rdb itself is not used and may be closed. It connects to nothing yet. A nil cfg
// means the defaults.
func NewBridge(rdb redis.UniversalClient, ledger BridgeLedger, cfg *BridgeConfig) (*Bridge, error) {
	c, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("mq: bridge: %w", err)
	}
	if isNil(ledger) {
		return nil, errors.New("mq: bridge: a ledger is needed")
	}
	b := &Bridge{
		cfg: c, ledger: ledger, most: bridgeQuarantine,
		times: bridgeTimes{
			ping: 3 * time.Second, dead: 8 * time.Second, backoff: 5 * time.Second, tell: time.Second, beat: 2 * time.Second,
			remind: time.Minute, look: 10 * time.Second, again: 10 * time.Second,
		},
	}
	if b.client, err = b.copyOf(rdb); err != nil {
		return nil, fmt.Errorf("mq: bridge: %w", err)
	}
	for _, p := range c.Prefixes {
		for _, t := range []MessageType{MessageTypeEvaluationReport, MessageTypeTopicEvaluation} {
			b.channels = append(b.channels, p+string(t))
		}
	}
	b.buffer = newBridgeBuffer(c.Buffer, bridgeBytes)
	b.books = newBridgeBooks(b.channels)
	return b, nil
}

// copyOf gives a way to make clients like rdb. A connection that subscribes must
// not depend on a client that others close.
func (b *Bridge) copyOf(rdb redis.UniversalClient) (func() redis.UniversalClient, error) {
	c, ok := rdb.(*redis.Client)
	if !ok || c == nil {
		return nil, fmt.Errorf("a *redis.Client is needed, not %T; of a cluster, one to any of its nodes hears all that is published", rdb)
	}
	o := *c.Options()
	// After as many failures as a pool is large, it dials by itself in a goroutine
	// that nobody waits for.
	o.PoolSize, o.MinIdleConns, o.MaxIdleConns, o.MaxActiveConns = 1000, 0, 0, 0
	o.MaxRetries, o.DialerRetries = -1, 1
	o.PushNotificationProcessor = nil
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	redisconn.Guard(&o)
	o.Dialer = b.line.dialer(o.Dialer)
	return func() redis.UniversalClient { return redis.NewClient(&o) }, nil
}

var errNoBridge = errors.New("mq: bridge: there is none: make it with NewBridge")

// made is whether NewBridge has made the bridge.
func (b *Bridge) made() bool { return b != nil && b.client != nil }

var errBridgeTwice = errors.New("mq: bridge: Run was called before; make another one")

// Run is subscribed until ctx ends. Then it takes what is on its way, stores what
// it has within BridgeConfig.FlushTimeout, and returns when all that it started has
// ended. It connects again without end. It may be called once.
func (b *Bridge) Run(ctx context.Context) error {
	switch {
	case !b.made():
		return errNoBridge
	case ctx == nil:
		return fmt.Errorf("mq: bridge: run: %w", errNilContext)
	}
	if b.running.Swap(true) {
		return errBridgeTwice
	}
	client := b.client()
	defer client.Close()
	work, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	var storing, comparing, clerks sync.WaitGroup
	for range bridgeWorkers {
		storing.Go(func() { b.work(work) })
	}
	stored, told := make(chan struct{}), make(chan struct{})
	clerks.Go(func() { b.tell(work, told) })
	if b.cfg.Shadow {
		comparing.Go(func() { b.lookAgain(work, stored) })
	}

	b.listen(ctx, client)
	b.buffer.close()
	deadline := time.AfterFunc(b.cfg.FlushTimeout, giveUp)
	defer deadline.Stop()
	storing.Wait()
	b.lose(b.buffer.rest())
	close(stored)
	comparing.Wait()
	close(told)
	clerks.Wait()
	if n := b.books.lost(); n > 0 {
		b.cfg.Logger.Error("messages that the bridge had received could not be stored and are lost", "messages", n)
	}
	return nil
}

// Stats counts what this bridge has done since it began, by channel.
func (b *Bridge) Stats() []tasks.BridgeChannel {
	if !b.made() {
		return nil
	}
	return b.books.all()
}

// Ready tells why the bridge is not subscribed, or cannot store what it receives;
// nil when all is well.
func (b *Bridge) Ready(context.Context) error {
	if !b.made() {
		return errNoBridge
	}
	return b.health.err()
}
