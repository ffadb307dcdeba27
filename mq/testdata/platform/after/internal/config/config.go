// Package config reads the settings of the platform.
package config

import (
	"os"

	"gopkg.in/yaml.v3"
)

// Config is config.yaml.
type Config struct {
	Host     string         `yaml:"host"`
	Port     int            `yaml:"port"`
	Database DatabaseConfig `yaml:"database"`
	Redis    RedisConfig    `yaml:"redis"`
	Model    ModelConfig    `yaml:"model"`
}

// DatabaseConfig names the database.
type DatabaseConfig struct {
	DSN string `yaml:"dsn"`
}

// RedisConfig names the Redis.
type RedisConfig struct {
	Addr string `yaml:"addr"`
	DB   int    `yaml:"db"`
}

// ModelConfig names the chat model.
type ModelConfig struct {
	BaseURL string `yaml:"base_url"`
}

// LoadConfig reads a file.
func LoadConfig(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	cfg := &Config{}
	return cfg, yaml.Unmarshal(text, cfg)
}

// ExpandEnv puts variables of the environment in.
func (c *Config) ExpandEnv() {
	for _, s := range []*string{&c.Database.DSN, &c.Redis.Addr, &c.Model.BaseURL} {
		*s = os.ExpandEnv(*s)
	}
}
