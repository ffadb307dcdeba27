// Package mq sends messages over Redis Pub/Sub.
package mq

import (
	"context"
	"encoding/json"
	"log"
	"sync"

	"github.com/redis/go-redis/v9"

	"ai-eino-interview-agent/chatApp/agent_service/evaluation"
)

// MessageType names what a message is about.
type MessageType string

const (
	MessageTypeEvaluationReport MessageType = "evaluation_report"
	MessageTypeTopicEvaluation  MessageType = "topic_evaluation"

	channel = "interview:messages:"
)

// Message is what is sent.
type Message struct {
	Type    MessageType            `json:"type"`
	Payload map[string]interface{} `json:"payload"`
}

// RedisQueue sends and receives messages.
type RedisQueue struct {
	rdb  *redis.Client
	once sync.Once
	done chan struct{}
}

var queue *RedisQueue

// NewRedisQueue makes a queue.
func NewRedisQueue(rdb *redis.Client) *RedisQueue {
	return &RedisQueue{rdb: rdb, done: make(chan struct{})}
}

// InitMessageQueue sets the queue.
func InitMessageQueue(q *RedisQueue) { queue = q }

// Close ends StartConsumer.
func (q *RedisQueue) Close() error {
	q.once.Do(func() { close(q.done) })
	return nil
}

// PublishEvaluationReport asks for a comprehensive evaluation.
func PublishEvaluationReport(ctx context.Context, userID uint, reportID uint64) error {
	return publish(ctx, MessageTypeEvaluationReport, userID, reportID)
}

// PublishTopicEvaluation asks for an evaluation of each answer.
func PublishTopicEvaluation(ctx context.Context, userID uint, reportID uint64) error {
	return publish(ctx, MessageTypeTopicEvaluation, userID, reportID)
}

func publish(ctx context.Context, t MessageType, userID uint, reportID uint64) error {
	text, err := json.Marshal(Message{t, map[string]interface{}{"user_id": userID, "report_id": reportID}})
	if err != nil {
		return err
	}
	return queue.rdb.Publish(ctx, channel+string(t), text).Err()
}

// StartConsumer evaluates what it hears.
func StartConsumer(ctx context.Context) error {
	heard := queue.rdb.Subscribe(ctx, channel+string(MessageTypeEvaluationReport), channel+string(MessageTypeTopicEvaluation))
	defer heard.Close()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-queue.done:
			return nil
		case text := <-heard.Channel():
			go handle(ctx, text.Payload)
		}
	}
}

func handle(ctx context.Context, text string) {
	var m Message
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		log.Printf("message: %v", err)
		return
	}
	user, _ := m.Payload["user_id"].(float64)
	report, _ := m.Payload["report_id"].(float64)
	var err error
	switch m.Type {
	case MessageTypeEvaluationReport:
		_, err = evaluation.GenerateRecordEvaluation(ctx, uint(user), uint64(report))
	case MessageTypeTopicEvaluation:
		_, err = evaluation.GenerateAnswerRecordEvaluation(ctx, uint(user), uint64(report))
	}
	if err != nil {
		log.Printf("handle %s: %v", m.Type, err)
	}
}
