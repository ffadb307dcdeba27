package client_test

import (
	"context"
	"database/sql"
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

// A platform stores an interview and asks for its evaluation in one transaction:
// there is never one without the other. The ledger is in the platform's own
// database.
func ExampleClient_SubmitTx() {
	ctx := context.Background()
	const url = "postgres://platform@127.0.0.1:5432/platform"
	c, err := client.Open(ctx, url, nil)
	if err != nil {
		panic(err)
	}
	defer c.Close()
	db, err := sql.Open("pgx", url)
	if err != nil {
		panic(err)
	}
	defer db.Close()

	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		panic(err)
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, "INSERT INTO interviews (id, user_id) VALUES (42, 7)"); err != nil {
		panic(err)
	}
	job, err := c.SubmitTx(ctx, tx, tasks.EvaluationReport{UserID: 7, ReportID: 42})
	if err != nil {
		panic(err)
	}
	if err := tx.Commit(); err != nil { // the job exists from here on
		panic(err)
	}
	fmt.Println(job.ID)
}
