package config

import (
	"fmt"
	"log/slog"
	"net/url"
	"reflect"
	"strings"

	"evalq/internal/redisconn"
)

// Redacted returns the settings one a line, NAME=value, without their secrets.
func (c Config) Redacted() string { return strings.Join(redacted(c, false), "\n") }

// String is on one line what Redacted is on many, so that a Config printed by
// accident shows no secret.
func (c Config) String() string { return strings.Join(redacted(c, false), " ") }

// GoString is String.
func (c Config) GoString() string { return c.String() }

// LogValue is String.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Redacted returns the settings one a line, NAME=value, without the token.
func (c Client) Redacted() string { return strings.Join(redacted(c, true), "\n") }

// String is on one line what Redacted is on many.
func (c Client) String() string { return strings.Join(redacted(c, true), " ") }

// GoString is String.
func (c Client) GoString() string { return c.String() }

// LogValue is String.
func (c Client) LogValue() slog.Value { return slog.StringValue(c.String()) }

func redacted(v any, client bool) []string {
	value := reflect.ValueOf(v)
	var lines []string
	for _, s := range settings(value.Type(), client) {
		lines = append(lines, s.Env+"="+show(s, value.FieldByName(s.Field).Interface()))
	}
	return lines
}

func show(s Setting, value any) string {
	if list, ok := value.([]string); ok {
		return strings.Join(list, ",")
	}
	text := fmt.Sprint(value)
	switch {
	case text == "":
		return ""
	case s.Field == "RedisURL", s.Field == "BridgeRedisURL":
		return redisconn.Redacted(text)
	case s.Field == "URL":
		u, err := url.Parse(text)
		if err != nil {
			return "***"
		}
		return u.Redacted()
	case s.Secret:
		return "***"
	}
	return text
}
