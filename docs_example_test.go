package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"

	"evalq/client"
	"evalq/samples"
	"evalq/server"
	"evalq/tasks"
	"evalq/worker"
)

// The client as README shows it, against a server of its own that has the
// samples.
func Example() {
	url, stop := sampleServer()
	defer stop()

	ctx := context.Background()
	c, err := client.Open(ctx, url, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	job, err := c.Submit(ctx, tasks.EvaluationReport{UserID: 1001, ReportID: 5001})
	if err != nil {
		log.Fatal(err)
	}
	job, err = c.Wait(ctx, job.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(job.State, job.Judge) // job.Result is the report as JSON
	// Output: succeeded offline/1
}

// A program with the ledger in its own database. It is compiled and not run,
// since there is no such database here.
func Example_yourTransaction() {
	ctx := context.Background()
	const url = "mysql://platform@127.0.0.1/platform"
	c, err := client.Open(ctx, url, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	db, err := sql.Open("mysql", "platform@tcp(127.0.0.1)/platform")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if err := finishInterview(ctx, db, c); err != nil {
		log.Fatal(err)
	}
}

// finishInterview is the transaction that README shows.
func finishInterview(ctx context.Context, db *sql.DB, c *client.Client) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, "UPDATE interviews SET finished = 1 WHERE id = ?", 42); err != nil {
		return err
	}
	if _, err := c.SubmitTx(ctx, tx, tasks.EvaluationReport{UserID: 7, ReportID: 42}); err != nil {
		return err
	}
	return tx.Commit()
}

// A program that serves a kind of its own, as README shows it.
func Example_ownHandlers() {
	ctx := context.Background()
	callPaidOCR := func(context.Context, json.RawMessage) (json.RawMessage, error) {
		return json.RawMessage(`"ten years of Go"`), nil
	}
	summarize := func(text json.RawMessage) (json.RawMessage, error) {
		return json.Marshal(map[string]any{"summary": text})
	}

	err := server.Run(ctx, &server.Config{
		Handlers: map[tasks.Kind]worker.Handler{
			"resume_parse": func(ctx context.Context, job tasks.Job) (json.RawMessage, error) {
				text, err := worker.Checkpoint(ctx, "ocr", func(ctx context.Context) (json.RawMessage, error) {
					return callPaidOCR(ctx, job.Data)
				})
				if err != nil {
					return nil, err
				}
				return summarize(text)
			},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
}

// sampleServer runs an evalq that has the sample interviews.
func sampleServer() (url string, stop func()) {
	dir, err := os.MkdirTemp("", "evalq")
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s, err := server.Open(ctx, &server.Config{Listen: "127.0.0.1:0", DataDir: dir, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	storeSamples(ctx, s.URL())
	return s.URL(), func() {
		cancel()
		if err := <-ended; err != nil {
			log.Fatal(err)
		}
		if err := s.Close(); err != nil {
			log.Fatal(err)
		}
		_ = os.RemoveAll(dir)
	}
}

func storeSamples(ctx context.Context, url string) {
	c, err := client.Open(ctx, url, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	all, err := samples.All()
	if err != nil {
		log.Fatal(err)
	}
	for _, in := range all {
		doc, err := json.Marshal(in)
		if err != nil {
			log.Fatal(err)
		}
		if _, err := c.PutInterview(ctx, in.ReportID, doc); err != nil {
			log.Fatal(err)
		}
	}
}
