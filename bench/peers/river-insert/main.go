// Command river-insert measures how many jobs a second River's Insert commits
// to a PostgreSQL. `evalq bench accept` builds and runs it; the result is one
// line of JSON.
//
//	DATABASE_URL=postgres://… river-insert --callers 64 --seconds 2
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// result is what `evalq bench accept` reads.
type result struct {
	Seconds float64   `json:"seconds"`
	Micros  []float64 `json:"micros"` // how long each call took, sorted
}

// evaluation has what evalq's own request has.
type evaluation struct {
	UserID   int64 `json:"user_id"`
	ReportID int64 `json:"report_id"`
}

func (evaluation) Kind() string { return "evaluation_report" }

func main() {
	callers := flag.Int("callers", 64, "how many insert at once, each after the answer to the one before")
	connections := flag.Int("connections", 0, "size of the pool (default: one for each caller)")
	seconds := flag.Float64("seconds", 2, "how long")
	flag.Parse()
	if *connections == 0 {
		*connections = *callers
	}
	r, err := run(context.Background(), os.Getenv("DATABASE_URL"), *callers, *connections, time.Duration(*seconds*float64(time.Second)))
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(r)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "river-insert:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, url string, callers, connections int, length time.Duration) (result, error) {
	if callers < 1 || connections < 1 || length <= 0 {
		return result{}, errors.New("callers, connections and seconds must be above 0")
	}
	pool, err := connect(ctx, url, connections)
	if err != nil {
		return result{}, err
	}
	defer pool.Close()
	driver := riverpgxv5.New(pool)
	migrator, err := rivermigrate.New[pgx.Tx](driver, nil)
	if err != nil {
		return result{}, fmt.Errorf("migrate: %w", err)
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return result{}, fmt.Errorf("migrate: %w", err)
	}
	client, err := river.NewClient[pgx.Tx](driver, &river.Config{})
	if err != nil {
		return result{}, err
	}
	// Unmeasured, so that connections are open and statements prepared.
	if _, err := insert(ctx, client, callers, 300*time.Millisecond); err != nil {
		return result{}, err
	}
	return insert(ctx, client, callers, length)
}

// connect takes what is committed for what is on disk, as evalq does.
func connect(ctx context.Context, url string, connections int) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("DATABASE_URL: it cannot be read; write it like postgres://user:password@host:5432/database")
	}
	cfg.MaxConns, cfg.MinConns = int32(connections), int32(connections)
	cfg.ConnConfig.RuntimeParams["synchronous_commit"] = "on"
	return pgxpool.NewWithConfig(ctx, cfg)
}

// insert lets every caller insert one job after the other for that long.
func insert(ctx context.Context, client *river.Client[pgx.Tx], callers int, length time.Duration) (result, error) {
	took, errs := make([][]float64, callers), make([]error, callers)
	start := time.Now()
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for n := int64(1); time.Since(start) < length; n++ {
				before := time.Now()
				if _, errs[c] = client.Insert(ctx, evaluation{int64(c + 1), n}, nil); errs[c] != nil {
					return
				}
				took[c] = append(took[c], float64(time.Since(before).Nanoseconds())/1e3)
			}
		})
	}
	wg.Wait()
	r := result{Seconds: time.Since(start).Seconds(), Micros: slices.Concat(took...)}
	slices.Sort(r.Micros)
	return r, errors.Join(errs...)
}
