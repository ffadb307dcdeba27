package chaos

import (
	"bufio"
	"bytes"
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"modernc.org/sqlite"

	"evalq/internal/evaluation"
	"evalq/tasks"
	"evalq/worker"
)

// Node is what a process of the experiment brings to evalq: the judge that is
// counted, a policy under which no number of deaths ends a job, and obedience to
// who started it.
type Node struct {
	judge remote

	mu   sync.Mutex
	full bool
	db   database
}

// database runs a statement on the connection that a ledger writes through.
type database interface {
	Exec(ctx context.Context, statement string) error
}

// NewNode takes the address of the judge.
func NewNode(judge string) *Node {
	n := &Node{judge: remote{url: judge, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}}
	sqlite.RegisterConnectionHook(n.bound)
	return n
}

// Judge is the counted judge.
func (n *Node) Judge() evaluation.Judge { return n.judge }

// Policy lets a job live through any number of deaths and failures, which the
// experiment brings upon it, and keeps pauses short.
func Policy(kind tasks.Kind) tasks.Policy {
	p := tasks.PolicyFor(kind)
	p.Attempts, p.Deaths, p.BackoffMax = 1000, 1000, 10*time.Second
	return p
}

// Opened tells which database the node has.
func (n *Node) Opened(db database) {
	n.mu.Lock()
	n.db = db
	n.mu.Unlock()
}

// Leash ends this process when in ends: then who started it is gone.
func Leash(in io.Reader) {
	_, _ = io.Copy(io.Discard, in)
	os.Exit(1)
}

// Words that a node obeys.
const (
	wordFull = "full" // a SQLite file may not grow
	wordRoom = "room" // it may
)

// Obey carries out words from in and answers each on out. When in ends, who
// started the node is gone, and so is the node.
func (n *Node) Obey(in io.Reader, out io.Writer) {
	for words := bufio.NewScanner(in); words.Scan(); {
		if err := n.fill(words.Text() == wordFull); err != nil {
			fmt.Fprintf(out, "chaos %s: %v\n", words.Text(), err)
			continue
		}
		fmt.Fprintf(out, "chaos %s\n", words.Text())
	}
	os.Exit(1)
}

const (
	pragmaFull = "PRAGMA max_page_count = 1" // SQLite takes the present size for it
	pragmaRoom = "PRAGMA max_page_count = 4294967294"
)

func (n *Node) fill(full bool) error {
	n.mu.Lock()
	n.full = full
	db := n.db
	n.mu.Unlock()
	if db == nil {
		return nil // connections that are opened now are told
	}
	statement := pragmaRoom
	if full {
		statement = pragmaFull
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return db.Exec(ctx, statement)
}

// bound keeps the limit on connections that replace one which failed.
func (n *Node) bound(conn sqlite.ExecQuerierContext, _ string) error {
	n.mu.Lock()
	full := n.full
	n.mu.Unlock()
	if !full {
		return nil
	}
	_, err := conn.ExecContext(context.Background(), pragmaFull, []driver.NamedValue{})
	return err
}

// remote is the judge as a node sees it. What it returns carries the number of
// its call.
type remote struct {
	url  string
	http *http.Client
}

// Identity is counting, at version 1.
func (remote) Identity() evaluation.Identity {
	return evaluation.Identity{Evaluator: "counting", Version: "1"}
}

// Judge makes one call.
func (r remote) Judge(ctx context.Context, in evaluation.Input) (evaluation.AnswerEvaluation, error) {
	ref := worker.Ref(ctx)
	n, err := r.call(ctx, question{Job: ref.Job, Attempt: ref.Attempt, Report: ref.ReportID, Input: in.Hash()})
	if err != nil {
		return evaluation.AnswerEvaluation{}, tasks.NewError(tasks.ClassUnavailable, err)
	}
	e := evaluation.Begin(r.Identity(), in)
	for i := range e.Dimensions {
		e.Dimensions[i].Assessed, e.Dimensions[i].Score = true, 3
	}
	e.Confidence = 1
	e.Audit.Seed = n // no other call has it
	evaluation.Grade(&e)
	return e, nil
}

func (r remote) call(ctx context.Context, q question) (int64, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	// A request that was sent twice by the client itself would count twice.
	req.GetBody = nil
	resp, err := r.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var t took
	if err := json.NewDecoder(resp.Body).Decode(&t); err != nil {
		return 0, fmt.Errorf("the judge answered %s: %w", resp.Status, err)
	}
	return t.Call, nil
}
