package fault

import (
	"regexp"
	"strconv"
	"strings"

	"evalq/tasks"
)

// An error that was made with %v has lost what it wraps. Its text still ends with
// that of the first error, or has the status in one of a few fixed forms. The text
// may also quote an answer of a candidate, so it is read only at its end, and in
// these forms, and can only say that something may be tried again.
var (
	stoppedTexts = []string{"context deadline exceeded", "context canceled"}
	networkTexts = []string{
		"context deadline exceeded", "connection refused", "connection reset by peer", "broken pipe", "i/o timeout", ": EOF", "unexpected EOF",
		"no such host", "server misbehaving", "network is unreachable", "no route to host", "connection timed out",
		"TLS handshake timeout", "tls: handshake failure", "timeout awaiting response headers", "Client.Timeout exceeded while awaiting headers",
		"Client.Timeout or context cancellation while reading body", "use of closed network connection",
		"http: server closed idle connection", "http2: client connection lost",
	}
	storageTexts = []string{"driver: bad connection", "invalid connection", "sql: database is closed", "sql: connection is already closed", "database is locked"}
	timeoutText  = regexp.MustCompile(`(?i)(?:^|[:\]] )(?:timeout|timed out)\b|\b(?:timeout|timed out)$`)
	http2Text    = regexp.MustCompile(`http2: server sent GOAWAY|stream error: stream ID \d+; [A-Z_]+`)
	statusText   = regexp.MustCompile(`(?i)\b(?:status ?code|http status|status|http)[ :=]{1,2}(\d{3})\b`)
	reasonText   = regexp.MustCompile(`: (\d{3}) (?:Too Many Requests|Bad Gateway|Service Unavailable|Gateway Timeout|Internal Server Error|Unauthorized|Forbidden|Payment Required|Request Timeout)`)
	mysqlText    = regexp.MustCompile(`(?:^|: )Error (\d{4})(?: \([0-9A-Z]{5}\))?: `)
	sqlstateText = regexp.MustCompile(`\(SQLSTATE ([0-9A-Z]{5})\)$`)
)

// readText bounds how much of an error's text is read, from each end.
const readText = 2000

func clip(text string) string { return text[:min(len(text), readText)] }

func fromText(text string) tasks.Class {
	head, tail := clip(text), text[max(0, len(text)-readText):]
	switch {
	case endsWith(tail, storageTexts):
		return tasks.ClassStorage
	case endsWith(tail, networkTexts), http2Text.MatchString(head), timeoutText.MatchString(head):
		return tasks.ClassUnavailable
	}
	for _, form := range []*regexp.Regexp{statusText, reasonText} {
		if m := form.FindStringSubmatch(head); m != nil {
			n, _ := strconv.Atoi(m[1])
			if c := classOfStatus(n, func() string { return strings.ToLower(head) }); c.Transient() {
				return c
			}
		}
	}
	if m := mysqlText.FindStringSubmatch(head); m != nil {
		n, _ := strconv.Atoi(m[1])
		return ofMySQL(n)
	}
	if m := sqlstateText.FindStringSubmatch(tail); m != nil {
		return ofState(m[1])
	}
	return ""
}
