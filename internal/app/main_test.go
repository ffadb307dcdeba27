package app

import (
	"testing"

	"go.uber.org/goleak"

	"evalq/internal/sqltest"
)

func TestMain(m *testing.M) {
	// The tests' own HTTP client keeps idle connections.
	sqltest.Main(m, goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"))
}
