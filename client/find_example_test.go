package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"

	"evalq/client"
	"evalq/tasks"
)

// The two pages of a platform that show results. They only read: a result that is
// not there yet is answered with 202 and how far it is, for the page to ask again.
func ExampleClient_Find() {
	ctx := context.Background()
	server := httptest.NewServer(found()) // in your program: evalq serve
	defer server.Close()
	c, err := client.Open(ctx, server.URL, nil)
	if err != nil {
		panic(err)
	}
	defer c.Close()

	mux := http.NewServeMux()
	mux.Handle("GET /api/mianshi/evaluation", result(c, tasks.KindEvaluationReport))
	mux.Handle("GET /api/mianshi/answer-record", result(c, tasks.KindTopicEvaluation))

	for _, page := range []string{"/api/mianshi/evaluation?report_id=42", "/api/mianshi/answer-record?report_id=42", "/api/mianshi/evaluation?report_id=43"} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", page, nil))
		fmt.Print(w.Code, " ", w.Body)
	}
	// Output:
	// 200 {"code":200,"data":{"overall":71},"message":"Success"}
	// 202 {"code":202,"data":{"done":3,"state":"running","total":8},"message":"running"}
	// 404 {"code":404,"data":null,"message":"never submitted"}
}

// result answers in the envelope of the platform.
func result(c *client.Client, kind tasks.Kind) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer := func(status int, message string, data any) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(map[string]any{"code": status, "message": message, "data": data})
		}
		reportID, err := strconv.ParseInt(r.FormValue("report_id"), 10, 64)
		if err != nil {
			answer(http.StatusBadRequest, "report_id: must be a number", nil)
			return
		}
		const signedIn = 7 // the user of the request's token
		job, err := c.Find(r.Context(), kind, signedIn, reportID)
		switch {
		case errors.Is(err, tasks.ErrNotFound):
			answer(http.StatusNotFound, "never submitted", nil)
		case err != nil:
			answer(http.StatusServiceUnavailable, "try again later", nil)
		case job.State == tasks.Succeeded:
			answer(http.StatusOK, "Success", job.Result)
		case job.State.Finished():
			answer(http.StatusOK, string(job.State), map[string]any{"state": job.State})
		default:
			answer(http.StatusAccepted, string(job.State), map[string]any{"state": job.State, "done": job.Progress.Done, "total": job.Progress.Total})
		}
	}
}

// found stands for a server that has evaluated one kind of a report and is at
// work on the other.
func found() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch q := r.URL.Query(); {
		case q.Get("report_id") != "42":
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"type":"urn:evalq:problem:not-found","status":404}`)
		case q.Get("kind") == string(tasks.KindEvaluationReport):
			fmt.Fprint(w, `{"id":"06azr8a0tmp4g2cqw9kx5e1v","state":"succeeded","result":{"overall":71}}`)
		default:
			fmt.Fprint(w, `{"id":"06azr8a0tmp4g2cqw9kx5e2w","state":"running","progress":{"done":3,"kept":0,"total":8}}`)
		}
	})
}
