// Command platform does with the message queue what the interview platform does: it
// publishes at the end of an interview whose session has been cancelled, consumes in
// the same process, and shuts down in the platform's order. But for the line that
// hands over the two services, it is written against the original's names alone.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"evalq/mq"
)

type report struct{ Comment string }

var done sync.WaitGroup

func evaluateRecord(ctx context.Context, userID uint, reportID uint64) (*report, error) {
	defer done.Done()
	fmt.Printf("report of user %d, interview %d\n", userID, reportID)
	return &report{Comment: "fine"}, ctx.Err()
}

func evaluateAnswers(ctx context.Context, userID uint, reportID uint64) (*report, error) {
	defer done.Done()
	fmt.Printf("answers of user %d, interview %d\n", userID, reportID)
	return &report{Comment: "fine"}, ctx.Err()
}

// endOfInterview runs after "end interview" has cancelled the session.
func endOfInterview(session context.Context, userID uint, recordID uint64) {
	if err := mq.PublishEvaluationReport(session, userID, recordID); err != nil {
		log.Printf("publish the report: %v", err)
	}
	if err := mq.PublishTopicEvaluation(session, userID, recordID); err != nil {
		log.Printf("publish the topics: %v", err)
	}
}

func main() {
	rdb := redis.NewClient(&redis.Options{Addr: os.Getenv("REDIS_ADDR")})
	if err := rdb.Ping(context.Background()).Err(); err != nil {
		log.Fatal(err)
	}
	mq.SetEvaluationService(mq.ErrorOnly(evaluateRecord), mq.ErrorOnly(evaluateAnswers))

	var messageQueue mq.MessageQueue = mq.NewRedisQueue(rdb)
	mq.InitMessageQueue(messageQueue)
	consumerCtx, stopConsumer := context.WithCancel(context.Background())
	consumed := make(chan error, 1)
	go func() { consumed <- mq.StartConsumer(consumerCtx) }()

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{}
	go server.Serve(listener)

	done.Add(2 * 3)
	session, quit := context.WithCancel(context.Background())
	quit()
	for record := uint64(1); record <= 3; record++ {
		endOfInterview(session, 7, record)
	}
	done.Wait()

	stopConsumer()
	if err := messageQueue.Close(); err != nil {
		log.Print(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		log.Print(err)
	}
	fmt.Println("the consumer ended with:", <-consumed)
}
