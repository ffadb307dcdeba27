package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"evalq/client"
	"evalq/tasks"
)

const (
	callers = 8
	users   = 20
	answers = 3 // of an interview
	// unfinished is how many jobs there may be at a time: enough for all slots.
	unfinished = 72
	// later is how many reports after the first submission the second one of a
	// report comes.
	later = 40
	// oneIn of the reports is submitted a second time.
	oneIn = 20
)

// load submits jobs as a platform does, both kinds of a report together, through
// whichever API answers. What it was told is accepted it remembers.
type load struct {
	apis []*client.Client
	seed uint64

	mu        sync.Mutex
	allowed   int                 // reports that the schedule lets be submitted by now
	paced     int                 // reports that may be, by what is finished
	more      chan struct{}       // closed when that grows
	accepted  map[string]identity // by job
	jobs      map[identity]string
	second    int          // submissions of what had been accepted
	others    []string     // that were answered with another job
	repeated  atomic.Int64 // calls that no API had answered well
	submitted atomic.Int64 // reports that are through
}

// identity is the natural key of a job.
type identity struct {
	kind   tasks.Kind
	report int64
}

func newLoad(apis []*client.Client, seed uint64) *load {
	return &load{apis: apis, seed: seed, more: make(chan struct{}), paced: unfinished / 2, accepted: map[string]identity{}, jobs: map[identity]string{}}
}

// allow lets that many reports be submitted, in all.
func (l *load) allow(reports int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if reports > l.allowed {
		l.allowed = reports
		close(l.more)
		l.more = make(chan struct{})
	}
}

// pace keeps the number of unfinished jobs down, so that how long a job takes to
// go on tells of faults and not of a queue.
func (l *load) pace(finished int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if reports := (finished + unfinished) / 2; reports > l.paced {
		l.paced = reports
		close(l.more)
		l.more = make(chan struct{})
	}
}

// trickle lets reports be submitted one after the other while d passes, all of
// them in any case once stop is called.
func (l *load) trickle(from, to int, d time.Duration) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer l.allow(to)
		if to <= from {
			return
		}
		tick := time.NewTicker(max(d/time.Duration(to-from), time.Millisecond))
		defer tick.Stop()
		for n := from + 1; n <= to; n++ {
			l.allow(n)
			select {
			case <-tick.C:
			case <-end:
				return
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}

// run submits the reports from 1 to n and returns when all are accepted.
func (l *load) run(ctx context.Context, n int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for report := range next {
				if err := l.submit(ctx, report); err != nil {
					cancel(err)
				}
				l.submitted.Add(1)
			}
		})
	}
	for report := 1; report <= n && l.wait(ctx, report); report++ {
		select {
		case next <- report:
		case <-ctx.Done():
		}
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}

// wait returns when a report may be submitted.
func (l *load) wait(ctx context.Context, report int) bool {
	for {
		l.mu.Lock()
		allowed, more := min(l.allowed, l.paced), l.more
		l.mu.Unlock()
		if report <= allowed {
			return ctx.Err() == nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return false
		}
	}
}

// submit stores a report's interview and asks for both kinds at once. Then it
// asks again for one of earlier.
func (l *load) submit(ctx context.Context, report int) error {
	rng := rand.New(rand.NewPCG(l.seed, uint64(report)))
	user := rng.Int64N(users) + 1
	first, priority := rng.IntN(len(l.apis)), priorityOf(rng.IntN(10))
	doc, err := interview(user, rng)
	if err != nil {
		return err
	}
	id := int64(report)
	if err := l.try(ctx, first, func(c *client.Client) error {
		_, err := c.PutInterview(ctx, id, doc)
		return err
	}); err != nil {
		return err
	}
	errs := make([]error, 2)
	var both sync.WaitGroup
	for i, p := range []tasks.Payload{tasks.EvaluationReport{UserID: user, ReportID: id}, tasks.TopicEvaluation{UserID: user, ReportID: id}} {
		both.Go(func() { errs[i] = l.ask(ctx, first+i, p, priority) })
	}
	both.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return l.again(ctx, report-later)
}

// again submits a second time what was accepted, if the seed has chosen it.
func (l *load) again(ctx context.Context, report int) error {
	rng := rand.New(rand.NewPCG(l.seed, uint64(report)))
	if report < 1 || report%oneIn != int(l.seed%oneIn) {
		return nil
	}
	user := rng.Int64N(users) + 1
	id := int64(report)
	for i, p := range []tasks.Payload{tasks.EvaluationReport{UserID: user, ReportID: id}, tasks.TopicEvaluation{UserID: user, ReportID: id}} {
		if err := l.ask(ctx, i, p, tasks.Default); err != nil {
			return err
		}
	}
	return nil
}

// ask submits until the job is acknowledged.
func (l *load) ask(ctx context.Context, first int, p tasks.Payload, priority tasks.Priority) error {
	var job tasks.Job
	err := l.try(ctx, first, func(c *client.Client) (err error) {
		job, err = c.Submit(ctx, p, client.WithPriority(priority))
		return err
	})
	if err != nil {
		return err
	}
	_, report := p.Subject()
	key := identity{p.Kind(), report}
	l.mu.Lock()
	defer l.mu.Unlock()
	if before, ok := l.jobs[key]; ok {
		l.second++
		if before != job.ID {
			l.others = append(l.others, fmt.Sprintf("%s of report %d was job %s and then job %s", key.kind, report, before, job.ID))
		}
		return nil
	}
	l.jobs[key], l.accepted[job.ID] = job.ID, key
	return nil
}

// try calls one API after the other until one answers.
func (l *load) try(ctx context.Context, first int, call func(*client.Client) error) error {
	for n := first; ; n++ {
		err := call(l.apis[n%len(l.apis)])
		var invalid *tasks.InvalidError
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &invalid):
			return fmt.Errorf("chaos: submit: %w", err)
		}
		l.repeated.Add(1)
		t := time.NewTimer(100 * time.Millisecond)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
	}
}

// known gives what was accepted so far.
func (l *load) known() map[string]identity {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[string]identity, len(l.accepted))
	for id, k := range l.accepted {
		out[id] = k
	}
	return out
}

// interview is a document with answers that no other report has.
func interview(user int64, rng *rand.Rand) (json.RawMessage, error) {
	type answer struct {
		Question  string              `json:"question"`
		Answer    string              `json:"answer"`
		KeyPoints []map[string]string `json:"key_points"`
	}
	doc := struct {
		UserID   int64    `json:"user_id"`
		Language string   `json:"language"`
		Answers  []answer `json:"answers"`
	}{UserID: user, Language: "en"}
	for range answers {
		word := strconv.FormatUint(rng.Uint64(), 36)
		doc.Answers = append(doc.Answers, answer{
			Question: "What does " + word + " stand for?", Answer: "As far as I know, " + word + " stands for nothing at all.",
			KeyPoints: []map[string]string{{"text": "it stands for nothing"}},
		})
	}
	return json.Marshal(doc)
}

// priorityOf spreads reports over the queues.
func priorityOf(n int) tasks.Priority {
	switch {
	case n < 2:
		return tasks.Critical
	case n < 7:
		return tasks.Default
	}
	return tasks.Low
}
