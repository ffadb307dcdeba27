package mq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"

	"evalq/client"
	"evalq/internal/fault"
	"evalq/tasks"
	"evalq/worker"
)

// Evaluation is a function of the platform's that evaluates one interview and
// stores what comes out. It may be called again for a report that it has evaluated
// before, and then has to update what it stored, not add to it.
type Evaluation = func(ctx context.Context, userID uint, reportID uint64) error

// global is what the original kept in its package.
var global struct {
	mu            sync.RWMutex
	queue         MessageQueue
	client        *client.Client
	report, topic Evaluation
}

// InitMessageQueue sets the queue that GetMessageQueue, the two helpers and
// StartConsumer use. One that was set before is replaced and not closed; nil, or a
// nil pointer, leaves none.
func InitMessageQueue(mq MessageQueue) {
	if isNil(mq) {
		mq = nil
	}
	global.mu.Lock()
	defer global.mu.Unlock()
	global.queue = mq
}

// GetMessageQueue gives the queue that was set with InitMessageQueue. Without one
// it is a queue whose methods return ErrNoQueue.
func GetMessageQueue() MessageQueue {
	global.mu.RLock()
	defer global.mu.RUnlock()
	if global.queue == nil {
		return noQueue{}
	}
	return global.queue
}

// SetEvaluationService says what evaluates messages of the two types in this
// process. It is called once, before the consumer starts. ErrorOnly makes a fitting
// function of one that also returns a result.
func SetEvaluationService(report, topic func(ctx context.Context, userID uint, reportID uint64) error) {
	global.mu.Lock()
	defer global.mu.Unlock()
	global.report, global.topic = report, topic
}

// ErrorOnly leaves out the result of a function that is given to
// SetEvaluationService.
func ErrorOnly[T any](f func(ctx context.Context, userID uint, reportID uint64) (T, error)) func(ctx context.Context, userID uint, reportID uint64) error {
	if f == nil {
		return nil
	}
	return func(ctx context.Context, userID uint, reportID uint64) error {
		_, err := f(ctx, userID, reportID)
		return err
	}
}

// Handler makes a handler for evalq's workers of a function of the platform's, for
// worker.Config.Handlers and server.Config.Handlers. Its result is stored as JSON
// in the ledger. What the function does inside worker.Checkpoint happens once.
//
// An error that the function returns without a class of package tasks gets one where
// its kind can be seen: a provider that cannot be reached, does not answer in time or
// is overloaded, and a database that cannot be reached or is locked, cost the job no
// attempt; a request that the provider refuses is permanent. What it cannot tell is
// internal and costs an attempt. The function says more with tasks.NewError, or the
// program with worker.Config.Classify. A nil f makes a nil handler, which a worker
// refuses when it is made.
func Handler[T any](f func(ctx context.Context, userID uint, reportID uint64) (T, error)) worker.Handler {
	if f == nil {
		return nil
	}
	return func(ctx context.Context, job tasks.Job) (json.RawMessage, error) {
		result, err := f(ctx, uint(job.UserID), uint64(job.ReportID))
		if err != nil {
			return nil, fault.Guess(ctx, err)
		}
		return json.Marshal(result)
	}
}

// UseClient sends messages of the two types that are published through a
// RedisQueue to evalq's ledger, as jobs of evalq's own workers, who evaluate each
// once however often it is published. The client stays the caller's to close; nil
// ends this. InMemoryQueue stays as it is.
func UseClient(c *client.Client) {
	global.mu.Lock()
	defer global.mu.Unlock()
	global.client = c
}

func theClient() *client.Client {
	global.mu.RLock()
	defer global.mu.RUnlock()
	return global.client
}

// PublishEvaluationReport publishes the wish for a comprehensive evaluation. It
// pays no heed to the end of ctx and comes back within 10 s.
func PublishEvaluationReport(ctx context.Context, userID uint, reportID uint64) error {
	return publish(ctx, MessageTypeEvaluationReport, userID, reportID)
}

// PublishTopicEvaluation publishes the wish for an evaluation of each answer, like
// PublishEvaluationReport.
func PublishTopicEvaluation(ctx context.Context, userID uint, reportID uint64) error {
	return publish(ctx, MessageTypeTopicEvaluation, userID, reportID)
}

func publish(ctx context.Context, t MessageType, userID uint, reportID uint64) error {
	if ctx == nil {
		return fmt.Errorf("mq: publish: %w", errNilContext)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
	defer cancel()
	return GetMessageQueue().Publish(ctx, &Message{Type: t, Payload: map[string]any{"user_id": userID, "report_id": reportID}})
}

// ConsumerHandler deals with messages of the two types.
type ConsumerHandler struct{}

// NewConsumerHandler makes a ConsumerHandler.
func NewConsumerHandler() *ConsumerHandler { return &ConsumerHandler{} }

// HandleMessage calls the function that was given to SetEvaluationService, and gives
// its errors a class as Handler does. After
// UseClient it makes the message a job instead: one that was published before then
// is not evaluated apart from the others. A message that nobody can evaluate is a
// permanent error.
func (h *ConsumerHandler) HandleMessage(ctx context.Context, message *Message) error {
	if ctx == nil {
		return fmt.Errorf("mq: handle a message: %w", errNilContext)
	}
	if message == nil {
		return unusable(errors.New("the message is nil"))
	}
	if !message.Type.known() {
		return tasks.NewError(tasks.ClassNoHandler, fmt.Errorf("mq: no evaluation for messages of type %.100q: subscribe with a handler of your own", message.Type))
	}
	if c := theClient(); c != nil {
		return submit(ctx, c, message)
	}
	found, err := readIDs(message.Payload)
	switch {
	case err != nil:
		return unusable(err)
	case !found.exact():
		return unusable(errDamaged)
	case uint64(found.User.Low) > math.MaxUint:
		return unusable(errors.New("user_id: too large for this machine"))
	}
	evaluate := service(message.Type)
	if evaluate == nil {
		return tasks.NewError(tasks.ClassUnavailable, fmt.Errorf("mq: %w", ErrNoService))
	}
	return fault.Guess(ctx, evaluate(ctx, uint(found.User.Low), uint64(found.Report.Low)))
}

func unusable(err error) error {
	return tasks.NewError(tasks.ClassInvalidPayload, fmt.Errorf("mq: message: %w", err))
}

func service(t MessageType) Evaluation {
	global.mu.RLock()
	defer global.mu.RUnlock()
	if t == MessageTypeTopicEvaluation {
		return global.topic
	}
	return global.report
}

// StartConsumer evaluates what comes through the queue that was set with
// InitMessageQueue. It blocks like Subscribe, whichever queue that is. It returns
// ErrNoQueue without one, and ErrNoService when nobody could evaluate.
func StartConsumer(ctx context.Context) error {
	if ctx == nil {
		return fmt.Errorf("mq: start the consumer: %w", errNilContext)
	}
	q := GetMessageQueue()
	if _, none := q.(noQueue); none {
		return fmt.Errorf("mq: start the consumer: %w", ErrNoQueue)
	}
	if theClient() == nil && (service(MessageTypeEvaluationReport) == nil || service(MessageTypeTopicEvaluation) == nil) {
		return fmt.Errorf("mq: start the consumer: %w", ErrNoService)
	}
	slog.InfoContext(ctx, "the consumer of the message queue starts")
	err := q.Subscribe(ctx, NewConsumerHandler().HandleMessage)
	if err != nil && ctx.Err() == nil {
		slog.ErrorContext(ctx, "the consumer of the message queue has ended", "err", err)
	}
	return err
}

// Ready is an error while the queue that was set with InitMessageQueue cannot be
// used, or while messages wait in it and nobody has subscribed: for the readiness
// check of a program.
func Ready(ctx context.Context) error {
	if ctx == nil {
		return fmt.Errorf("mq: ready: %w", errNilContext)
	}
	q := GetMessageQueue()
	if r, ok := q.(interface{ Ready(context.Context) error }); ok {
		return r.Ready(ctx)
	}
	return nil
}

// noQueue is what there is before InitMessageQueue.
type noQueue struct{}

func (noQueue) Publish(context.Context, *Message) error {
	return fmt.Errorf("mq: publish: %w", ErrNoQueue)
}
func (noQueue) Subscribe(context.Context, MessageHandler) error {
	return fmt.Errorf("mq: subscribe: %w", ErrNoQueue)
}
func (noQueue) Close() error                { return nil }
func (noQueue) Ready(context.Context) error { return fmt.Errorf("mq: %w", ErrNoQueue) }
