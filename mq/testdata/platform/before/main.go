// The interview platform.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/cloudwego/hertz/pkg/app/server"

	"ai-eino-interview-agent/api/handler/interview"
	"ai-eino-interview-agent/chatApp/agent_service/evaluation"
	"ai-eino-interview-agent/internal/config"
	"ai-eino-interview-agent/internal/mq"
	"ai-eino-interview-agent/internal/repository"
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
	if err := repository.InitRedis(cfg.Redis); err != nil {
		log.Fatalf("Failed to initialize Redis: %v", err)
	}

	redisClient := repository.GetRedis()
	messageQueue := mq.NewRedisQueue(redisClient)
	mq.InitMessageQueue(messageQueue)
	consumerCtx, cancelConsumer := context.WithCancel(context.Background())
	go func() {
		if err := mq.StartConsumer(consumerCtx); err != nil {
			log.Printf("Error starting consumer: %v", err)
		}
	}()
	time.Sleep(500 * time.Millisecond)
	defer cancelConsumer()

	s := server.Default(server.WithHostPorts(fmt.Sprintf("%s:%d", cfg.Host, cfg.Port)))
	s.POST("/api/mianshi/interview/end", interview.EndMianshi)
	s.GET("/api/mianshi/evaluation", interview.GetMianshiEvaluation)
	s.GET("/api/mianshi/answer-record", interview.GetMianshiAnswerRecord)
	go func() {
		if err := s.Run(); err != nil && !errors.Is(err, http.ErrServerClosed) {
			log.Fatalf("Failed to start server: %v", err)
		}
	}()

	quit := make(chan os.Signal, 1)
	signal.Notify(quit, syscall.SIGINT, syscall.SIGTERM)
	<-quit
	log.Println("Shutting down server...")

	cancelConsumer()
	if err := messageQueue.Close(); err != nil {
		log.Printf("Warning: Failed to close message queue: %v", err)
	}
	shutdownCtx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.Shutdown(shutdownCtx); err != nil {
		log.Fatalf("Server forced to shutdown: %v", err)
	}
}
