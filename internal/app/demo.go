package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"evalq/client"
	"evalq/internal/config"
	"evalq/internal/evaluation"
	"evalq/internal/folder"
	"evalq/internal/redisconn"
	"evalq/samples"
	"evalq/tasks"
)

// Demo serves like Serve, from a folder of its own below the data folder, loads
// the sample interviews, evaluates them over HTTP as any client would, and shows
// the results. It serves on until ctx ends. Its log goes to a file, so that the
// terminal shows the story alone; newLog makes a logger that writes there.
func Demo(ctx context.Context, cfg config.Config, out io.Writer, newLog func(io.Writer) *slog.Logger) (err error) {
	cfg.DataDir = filepath.Join(cfg.DataDir, "demo")
	logFile, err := openLog(cfg.DataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, logFile.Close()) }()
	log := newLog(logFile)
	redisconn.LogTo(log)
	repaired, err := samples.NotAssessableWithKeyPoints()
	if err != nil {
		return err
	}
	if cfg.OperatorToken == "" {
		if cfg.OperatorToken, err = demoToken(cfg.DataDir); err != nil {
			return err
		}
	}
	a, err := openDemo(ctx, cfg, repaired, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	a.announce(ctx, out)
	fmt.Fprintf(out, "log        %s\n", logFile.Name())
	fmt.Fprintf(out, "sign-in    %s\n\n", a.cfg.OperatorToken)

	served := make(chan error, 1)
	stop, cancel := context.WithCancel(ctx)
	go func() { served <- a.runAndSay(stop, out) }()
	show := &showcase{app: a, out: out, repaired: repaired}
	if err := show.run(stop); err != nil && ctx.Err() == nil {
		cancel()
		return errors.Join(err, <-served)
	}
	defer cancel()
	return <-served
}

// openDemo takes any free port when the default one is taken: a newcomer did
// not ask for it.
func openDemo(ctx context.Context, cfg config.Config, repaired evaluation.Interview, log *slog.Logger) (*App, error) {
	x := Extras{Suggested: func(report int64) ([]byte, bool) {
		if report != repaired.ReportID {
			return nil, false
		}
		doc, err := json.Marshal(repaired)
		return doc, err == nil
	}}
	a, err := Open(ctx, cfg, x, log)
	if errors.Is(err, ErrPortTaken) && cfg.Listen == config.DefaultListen {
		cfg.Listen = "127.0.0.1:0"
		return Open(ctx, cfg, x, log)
	}
	return a, err
}

func openLog(dir string) (*os.File, error) {
	if err := folder.Make(dir); err != nil {
		return nil, fmt.Errorf("app: demo: %w", err)
	}
	f, err := folder.OpenFile(filepath.Join(dir, "evalq.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND)
	if err != nil {
		return nil, fmt.Errorf("app: demo: %w: choose a folder that can be written with --data-dir", err)
	}
	return f, nil
}

// demoToken keeps one sign-in for the demo's folder, so that a page that is
// open survives a restart.
func demoToken(dir string) (string, error) {
	path := filepath.Join(dir, "operator-token")
	have, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(have)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("app: demo: read token: %w", err)
	}
	token := strings.ToLower(rand.Text()[:16])
	if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("app: demo: write token: %w", err)
	}
	return token, nil
}

// showcase is the part of the demo that a person watches.
type showcase struct {
	app      *App
	out      io.Writer
	repaired evaluation.Interview
	client   *client.Client
}

// entry is one sample with its two jobs.
type entry struct {
	in            evaluation.Interview
	report, topic tasks.Job
}

func (s *showcase) run(ctx context.Context) (err error) {
	if s.client, err = client.Open(ctx, s.app.URL(), &client.Config{Token: s.app.cfg.OperatorToken}); err != nil {
		return fmt.Errorf("app: demo: %w", err)
	}
	defer s.client.Close()
	entries, err := s.submit(ctx)
	if err != nil {
		return fmt.Errorf("app: demo: %w", err)
	}
	if err := s.watch(ctx, entries); err != nil {
		return fmt.Errorf("app: demo: %w", err)
	}
	if err := writeTable(s.out, entries); err != nil {
		return fmt.Errorf("app: demo: %w", err)
	}
	return s.explain(entries)
}

// submit stores every sample and asks for both kinds of evaluation, each pair
// at another priority.
func (s *showcase) submit(ctx context.Context) ([]*entry, error) {
	all, err := samples.All()
	if err != nil {
		return nil, err
	}
	var entries []*entry
	var requests []tasks.Request
	for i, in := range all {
		if have, err := s.app.ledger.Interview(ctx, in.UserID, in.ReportID); err == nil {
			in = have // of a run before; somebody may have added key points
		} else if err := s.put(ctx, in); err != nil {
			return nil, err
		}
		p := tasks.Priorities()[i%3]
		requests = append(requests,
			tasks.Request{Payload: tasks.EvaluationReport{UserID: in.UserID, ReportID: in.ReportID}, Priority: p},
			tasks.Request{Payload: tasks.TopicEvaluation{UserID: in.UserID, ReportID: in.ReportID}, Priority: p})
		entries = append(entries, &entry{in: in})
	}
	answers, err := s.client.SubmitMany(ctx, requests)
	if err != nil {
		return nil, err
	}
	created := 0
	for i, a := range answers {
		if a.Err != nil {
			return nil, a.Err
		}
		if a.Created {
			created++
		}
		if i%2 == 0 {
			entries[i/2].report = a.Job
		} else {
			entries[i/2].topic = a.Job
		}
	}
	fmt.Fprintf(s.out, "%d sample interviews stored, evaluations submitted in three priorities: %d", len(entries), created)
	if kept := len(answers) - created; kept > 0 {
		fmt.Fprintf(s.out, ", %d known from a run before", kept)
	}
	fmt.Fprintln(s.out)
	return entries, nil
}

func (s *showcase) put(ctx context.Context, in evaluation.Interview) error {
	doc, err := json.Marshal(in)
	if err != nil {
		return err
	}
	_, err = s.client.PutInterview(ctx, in.ReportID, doc)
	return err
}

// watch shows how far the jobs are until all have finished.
func (s *showcase) watch(ctx context.Context, entries []*entry) error {
	line := newLine(s.out)
	defer line.end()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for {
		var c counts
		for _, e := range entries {
			for _, j := range []*tasks.Job{&e.report, &e.topic} {
				if !j.State.Finished() || (j.State == tasks.Succeeded && j.Result == nil) {
					fresh, err := s.client.Get(ctx, j.ID)
					if err != nil {
						return err
					}
					*j = fresh
				}
				c.add(j.State)
			}
		}
		line.show(c.String())
		if c.finished == c.total {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-look.C:
		}
	}
}

// explain tells how to repair the sample that could not be scored, or that it
// is repaired.
func (s *showcase) explain(entries []*entry) error {
	for _, e := range entries {
		if e.in.ReportID != s.repaired.ReportID || e.report.State != tasks.Dead {
			continue
		}
		path := filepath.Join(s.app.cfg.DataDir, "key-points.json")
		doc, err := json.MarshalIndent(s.repaired, "", "  ")
		if err != nil {
			return fmt.Errorf("app: demo: %w", err)
		}
		if err := os.WriteFile(path, append(doc, '\n'), 0o600); err != nil {
			return fmt.Errorf("app: demo: %w", err)
		}
		me := programName()
		fmt.Fprintf(s.out, "\nReport %d has questions without a reference or key points, so nothing can be measured:\n", e.in.ReportID)
		fmt.Fprintf(s.out, "its jobs are dead (%s) and archived in Asynqmon. Repair it in another terminal:\n\n", e.report.Error.Class)
		fmt.Fprintf(s.out, "  export EVALQ_URL=%s EVALQ_TOKEN=%s\n", s.app.URL(), s.app.cfg.OperatorToken)
		fmt.Fprintf(s.out, "  %s import %s\n  %s retry %s %s\n\n", me, path, me, e.report.ID, e.topic.ID)
		fmt.Fprintf(s.out, "or on its page, which offers the key points: %s/interviews/%d\n", s.app.URL(), e.in.ReportID)
		fmt.Fprintf(s.out, "or press Run on the archived task, once the key points are there: %s/asynqmon/\n", s.app.URL())
	}
	fmt.Fprintf(s.out, "\nServing on %s/ until Ctrl-C.\n", s.app.URL())
	return nil
}

// programName is what a reader types to run this program again.
func programName() string {
	if strings.Contains(os.Args[0], "go-build") {
		return "go run ."
	}
	return filepath.Base(os.Args[0])
}
