package mq_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/redis/go-redis/v9"

	"evalq/client"
	"evalq/mq"
	"evalq/server"
	"evalq/tasks"
	"evalq/worker"
)

// What the platform has.
type report struct{ Comment string }

type evaluationService struct{}

func (evaluationService) GenerateRecordEvaluation(context.Context, uint, uint64) (*report, error) {
	return &report{}, nil
}

func (evaluationService) GenerateAnswerRecordEvaluation(context.Context, uint, uint64) (*report, error) {
	return &report{}, nil
}

var (
	service     evaluationService
	redisClient *redis.Client
)

// The start of a program that was written for the original.
func Example_platform() {
	ctx := context.Background()

	mq.SetEvaluationService(mq.ErrorOnly(service.GenerateRecordEvaluation), mq.ErrorOnly(service.GenerateAnswerRecordEvaluation))
	mq.InitMessageQueue(mq.NewRedisQueue(redisClient))
	go mq.StartConsumer(ctx)
}

// The two evaluations as jobs of the ledger: each is paid for once, however often it
// is published, and evaluated by evalq's workers.
func ExampleUseClient() {
	ctx := context.Background()

	const url = "http://127.0.0.1:8080"
	c, err := client.Open(ctx, url, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	mq.UseClient(c)
	mq.InitMessageQueue(mq.NewRedisQueue(redisClient))
	if err := mq.PublishEvaluationReport(ctx, 7, 42); err != nil {
		log.Print(err) // nothing was accepted; the user may try again
	}
}

func ExampleInMemoryQueue() {
	ctx := context.Background()
	q := mq.NewInMemoryQueue(100)
	done := make(chan struct{})
	go q.Subscribe(ctx, func(_ context.Context, m *mq.Message) error {
		fmt.Println(m.Type, m.Payload["file_path"])
		close(done)
		return nil
	})
	if err := q.Publish(ctx, &mq.Message{Type: "resume_parse", Payload: map[string]any{"file_path": "cv.pdf"}}); err != nil {
		log.Fatal(err)
	}
	<-done
	if err := q.Close(); err != nil {
		log.Fatal(err)
	}
	// Output: resume_parse cv.pdf
}

// The platform's own worker process.
func Example_worker() {
	ctx := context.Background()

	err := server.Run(ctx, &server.Config{
		LedgerURL: os.Getenv("EVALQ_LEDGER_URL"),
		RedisURL:  os.Getenv("EVALQ_REDIS_URL"),
		Roles:     []string{"worker"},
		Handlers: map[tasks.Kind]worker.Handler{
			tasks.KindEvaluationReport: mq.Handler(service.GenerateRecordEvaluation),
			tasks.KindTopicEvaluation:  mq.Handler(service.GenerateAnswerRecordEvaluation),
		},
	})
	if err != nil {
		log.Fatal(err)
	}
}

func askTheModel(context.Context) (json.RawMessage, error) { return json.RawMessage(`{}`), nil }

// A call of a model that is paid for once.
func Example_checkpoint() {
	ctx := context.Background()

	text, err := worker.Checkpoint(ctx, "report", func(ctx context.Context) (json.RawMessage, error) {
		return askTheModel(ctx)
	})
	fmt.Println(string(text), err)
	// Output: {} <nil>
}

// An error whose class the function knows and nothing else could.
func ExampleHandler() {
	handler := mq.Handler(func(context.Context, uint, uint64) (*report, error) {
		return nil, tasks.NewError(tasks.ClassNotAssessable, errors.New("the interview has no answers"))
	})
	_, err := handler(context.Background(), tasks.Job{UserID: 7, ReportID: 42})
	fmt.Println(err, tasks.IsPermanent(err))
	// Output: not_assessable: the interview has no answers true
}
