package mq_test

import (
	"context"
	"fmt"
	"log"

	"github.com/redis/go-redis/v9"

	"evalq/client"
	"evalq/mq"
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

	c, err := client.Open(ctx, "http://127.0.0.1:8080", nil)
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
