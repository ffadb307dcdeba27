package client

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"evalq/tasks"
)

// Config tunes a Client. The zero value works.
type Config struct {
	// Token is sent as Authorization: Bearer. Servers that are set up with
	// credentials want one. Only used with http:// and https://. Defaults to
	// none.
	Token string
	// Name says who calls, in the events and the audit log of a ledger that is
	// reached by a postgres:// or mysql:// URL, as client:NAME; a server knows its
	// callers by their tokens. At most 64 characters. Defaults to none, which
	// leaves client.
	Name string
	// HTTPClient makes the requests. Its Timeout should be zero, since Wait
	// keeps a request open for half a minute. Defaults to one of the Client's
	// own, which Close closes.
	HTTPClient *http.Client
	// Namespace is that of the server, which Redis URLs need to find its queues.
	// Not used by other URLs. Defaults to none.
	Namespace tasks.Namespace
	// Timeout bounds one call with all its repetitions. It does not bound Wait,
	// which ends with its context. Defaults to 30 s.
	Timeout time.Duration
	// FailFast gives up at once on a call that only reads when nothing listens
	// at the address: for a person who has mistaken it. What changes something
	// is repeated all the same. Does not concern Wait. Defaults to false.
	FailFast bool
	// Logger is told of repetitions. Defaults to one that discards.
	Logger *slog.Logger
}

func (c *Config) withDefaults() (Config, error) {
	var d Config
	if c != nil {
		d = *c
	}
	if d.Timeout < 0 {
		return d, fmt.Errorf("client: Config.Timeout: %s is below zero", d.Timeout)
	}
	if d.Timeout == 0 {
		d.Timeout = 30 * time.Second
	}
	if strings.ContainsAny(d.Token, "\r\n\x00") {
		return d, errors.New("client: Config.Token has a line break or NUL in it")
	}
	if !utf8.ValidString(d.Name) || utf8.RuneCountInString(d.Name) > 64 || strings.ContainsFunc(d.Name, unicode.IsControl) {
		return d, errors.New("client: Config.Name must be at most 64 characters, none of them a control character")
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	return d, nil
}
