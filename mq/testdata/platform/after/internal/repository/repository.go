// Package repository opens the database and Redis.
package repository

import (
	"context"

	"github.com/redis/go-redis/v9"
	"gorm.io/driver/mysql"
	"gorm.io/gorm"

	"ai-eino-interview-agent/internal/config"
	"ai-eino-interview-agent/internal/model"
)

var rdb *redis.Client

// InitDatabase opens the database and makes the tables.
func InitDatabase(cfg config.DatabaseConfig) error {
	db, err := gorm.Open(mysql.Open(cfg.DSN), &gorm.Config{})
	if err != nil {
		return err
	}
	model.SetDBGetter(func() *gorm.DB { return db })
	return db.AutoMigrate(&model.InterviewRecord{}, &model.InterviewDialogue{}, &model.InterviewEvaluation{}, &model.AnswerReport{})
}

// InitRedis opens the connection.
func InitRedis(cfg config.RedisConfig) error {
	rdb = redis.NewClient(&redis.Options{Addr: cfg.Addr, DB: cfg.DB})
	return rdb.Ping(context.Background()).Err()
}

// GetRedis gives the client.
func GetRedis() *redis.Client { return rdb }
