package dashboard_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/redis/go-redis/v9"

	"evalq/dashboard"
	"evalq/tasks"
)

// The dashboard is one handler under a path of any mux; the same users guard
// what else the program serves.
func Example() {
	ledger := newMemory()
	ledger.add(tasks.Dead, nil)
	client := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
	defer client.Close()

	ops, err := dashboard.New(ledger, client, &dashboard.Config{
		Prefix: "/ops",
		Users:  []dashboard.User{{Name: "ada", Secret: "a long pass phrase", Role: dashboard.Operator}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ops.Close()
	mux := http.NewServeMux()
	mux.Handle("/ops/", ops)

	r := httptest.NewRequest(http.MethodGet, "/ops/jobs?state=dead", nil)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println("without a token:", w.Code)

	r.Header.Set("Authorization", "Bearer a long pass phrase")
	w = httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println("with it:", w.Code)
	// Output:
	// without a token: 401
	// with it: 200
}
