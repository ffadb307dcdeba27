// The worker process of the platform: it evaluates interviews.
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"

	"ai-eino-interview-agent/chatApp/agent_service/evaluation"
	"ai-eino-interview-agent/internal/config"
	"ai-eino-interview-agent/internal/repository"

	"evalq/mq"
	"evalq/server"
	"evalq/tasks"
	"evalq/worker"
)

func main() {
	cfg, err := config.LoadConfig("config.yaml")
	if err != nil {
		log.Fatalf("Failed to load configuration: %v", err)
	}
	cfg.ExpandEnv()
	evaluation.BaseURL = cfg.Model.BaseURL
	if err := repository.InitDatabase(cfg.Database); err != nil {
		log.Fatalf("Failed to initialize database: %v", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err = server.Run(ctx, &server.Config{
		LedgerURL:  os.Getenv("EVALQ_LEDGER_URL"),
		RedisURL:   os.Getenv("EVALQ_REDIS_URL"),
		PlatformDB: os.Getenv("EVALQ_PLATFORM_DB"),
		Roles:      []string{"worker"},
		Handlers: map[tasks.Kind]worker.Handler{
			tasks.KindEvaluationReport: mq.Handler(evaluation.GenerateRecordEvaluation),
			tasks.KindTopicEvaluation:  mq.Handler(evaluation.GenerateAnswerRecordEvaluation),
		},
	})
	if err != nil {
		log.Fatalf("The worker has ended: %v", err)
	}
}
