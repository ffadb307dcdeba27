package client_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"evalq/client"
	"evalq/tasks"
)

func Example() {
	ctx := context.Background()
	server := httptest.NewServer(answers()) // in your program: evalq serve
	defer server.Close()

	c, err := client.Open(ctx, server.URL, nil)
	if err != nil {
		panic(err)
	}
	defer c.Close()
	job, err := c.Submit(ctx, tasks.EvaluationReport{UserID: 7, ReportID: 42}, client.WithPriority(tasks.Critical))
	if err != nil {
		panic(err)
	}
	fmt.Println(job.ID, job.State)
	job, err = c.Wait(ctx, job.ID)
	if err != nil {
		panic(err)
	}
	fmt.Println(job.State, string(job.Result))
	// Output:
	// 06azr8a0tmp4g2cqw9kx5e1v accepted
	// succeeded {"overall":71}
}

// answers stands for a server that has one job.
func answers() http.Handler {
	mux := http.NewServeMux()
	const job = `{"id":"06azr8a0tmp4g2cqw9kx5e1v","kind":"evaluation_report","user_id":7,"report_id":42,"state":%q,"result":{"overall":71}}`
	mux.HandleFunc("POST /v1/evaluations", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, job, tasks.Accepted)
	})
	mux.HandleFunc("GET /v1/evaluations/06azr8a0tmp4g2cqw9kx5e1v", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, job, tasks.Succeeded)
	})
	return mux
}
