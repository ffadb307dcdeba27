// Command hang takes messages and never finishes with one.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/redis/go-redis/v9"

	"evalq/mq"
)

func main() {
	q := mq.NewRedisQueue(redis.NewClient(&redis.Options{Addr: os.Getenv("REDIS_ADDR")}))
	err := q.Subscribe(context.Background(), func(_ context.Context, m *mq.Message) error {
		fmt.Println("took", m.Type)
		select {}
	})
	log.Fatal(err)
}
