package mqtest

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"evalq/mq"
	"evalq/tasks"
)

type promise struct {
	name  string
	check func(t *testing.T, open Open)
}

var promises = []promise{
	{"a message goes to one handler, however many have subscribed", oneHandler},
	{"a handler finds what was published", roundTrip},
	{"messages that are published before anybody subscribes are not lost", beforeSubscribe},
	{"nobody else's changes reach a handler", nothingShared},
	{"a message whose handler failed is tried again", retried},
	{"a message that keeps failing is set aside and others go on", setAside},
	{"a permanent error sets a message aside at once", permanent},
	{"a transient error costs no try", transient},
	{"a panic and the end of a handler's goroutine are failures", panics},
	{"at most so many handlers run at once", bounded},
	{"a handler's context ends at its time limit", limited},
	{"publish pays no heed to a context that has ended", endedContext},
	{"what nobody could handle is refused and not stored", refused},
	{"a message of five megabytes arrives and one above the limit is refused", large},
	{"subscribe blocks and ends with its context", endsWithContext},
	{"subscribe returns nil when the queue is closed", endsWithClose},
	{"handlers that run when their subscription ends may finish", mayFinish},
	{"a handler that does not finish hands its message back at no cost", handedBack},
	{"the handler of an ended subscription is not called", endedIsNotCalled},
	{"close may be called again, and while messages are published", closeAgain},
	{"a handler may close its queue", closesItself},
	{"a handler may publish to its queue", publishesItself},
	{"a closed queue refuses to be subscribed to", closedRefuses},
	{"nil handlers are refused", nilHandler},
	{"messages that nobody takes turn readiness red", ready},
}

func oneHandler(t *testing.T, open Open) {
	queue := open(t, quick())
	a, b := queue(), queue()
	c := newTally()
	h := func(_ context.Context, m *mq.Message) error { c.add(number(m)); return nil }
	for _, q := range []mq.MessageQueue{a, a, a, b} {
		subscribe(t, q, h)
	}
	for n := range 60 {
		publish(t, []mq.MessageQueue{a, b}[n%2], other(n))
	}
	c.await(t, "the arrival of all", func(seen map[int]int, _ int) bool { return len(seen) == 60 })
	c.flush(t, a, 60)
	for n := range 60 {
		if times := c.of(n); times != 1 {
			t.Errorf("message %d reached %d handlers", n, times)
		}
	}
}

func roundTrip(t *testing.T, open Open) {
	q := open(t, quick())()
	got := make(chan *mq.Message, 1)
	subscribe(t, q, func(_ context.Context, m *mq.Message) error { got <- m; return nil })
	publish(t, q, &mq.Message{Type: "资料_parse.v2", Payload: map[string]any{
		"text": "五", "whole": 42, "half": 1.5, "yes": true, "none": nil, "big": uint64(9007199254740993),
		"list": []int{1, 2}, "in": map[string]any{"a": "b"},
	}})
	m := <-got
	want := map[string]any{
		"text": "五", "whole": 42.0, "half": 1.5, "yes": true, "none": nil, "big": json.Number("9007199254740993"),
		"list": []any{1.0, 2.0}, "in": map[string]any{"a": "b"},
	}
	if m.Type != "资料_parse.v2" || !reflect.DeepEqual(m.Payload, want) {
		t.Errorf("got %q with %#v, want %#v", m.Type, m.Payload, want)
	}
}

func beforeSubscribe(t *testing.T, open Open) {
	q := open(t, quick())()
	for n := range 50 {
		publish(t, q, other(n))
	}
	c := newTally()
	subscribe(t, q, func(_ context.Context, m *mq.Message) error { c.add(number(m)); return nil })
	c.await(t, "the arrival of all", func(seen map[int]int, _ int) bool { return len(seen) == 50 })
}

func nothingShared(t *testing.T, open Open) {
	q := open(t, quick())()
	m := other(1)
	inner := map[string]any{"k": "first"}
	m.Payload["in"] = inner
	publish(t, q, m)
	m.Payload["n"], inner["k"] = 2, "changed by the publisher"
	c := newTally()
	subscribe(t, q, func(_ context.Context, m *mq.Message) error {
		in := m.Payload["in"].(map[string]any)
		if in["k"] != "first" {
			t.Errorf("a handler found %v", in["k"])
		}
		in["k"] = "changed by a handler"
		if c.add(number(m)) == 1 {
			return errors.New("once more")
		}
		return nil
	})
	c.await(t, "the second try", func(seen map[int]int, _ int) bool { return seen[1] == 2 })
}

func retried(t *testing.T, open Open) {
	q := open(t, quick())()
	c := newTally()
	subscribe(t, q, func(_ context.Context, m *mq.Message) error {
		if c.add(number(m)) < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	publish(t, q, other(1))
	c.await(t, "the third try", func(seen map[int]int, _ int) bool { return seen[1] == 3 })
	c.flush(t, q, 2)
	c.flush(t, q, 3)
	if n := c.of(1); n != 3 {
		t.Errorf("%d tries", n)
	}
}

// lastTry counts tries of message 1 until it has been quiet for as long as several
// messages take that came later.
func lastTry(t *testing.T, open Open, cfg mq.Config, fail error, want int) {
	q := open(t, cfg)()
	c := newTally()
	subscribe(t, q, func(_ context.Context, m *mq.Message) error {
		c.add(number(m))
		if number(m) == 1 {
			return fail
		}
		return nil
	})
	publish(t, q, other(1))
	c.await(t, "the last try", func(seen map[int]int, _ int) bool { return seen[1] >= want })
	// A try too many would come among these.
	for n := 2; n < 30; n++ {
		c.flush(t, q, n)
	}
	if n := c.of(1); n != want {
		t.Errorf("%d tries, want %d", n, want)
	}
}

func setAside(t *testing.T, open Open) {
	lastTry(t, open, quick(), errors.New("never"), 3)
}

func permanent(t *testing.T, open Open) {
	lastTry(t, open, quick(), tasks.NewError(tasks.ClassInvalidPayload, errors.New("never")), 1)
}

func transient(t *testing.T, open Open) {
	cfg := quick()
	cfg.Attempts = 2
	q := open(t, cfg)()
	c := newTally()
	subscribe(t, q, func(_ context.Context, m *mq.Message) error {
		if c.add(number(m)) < 5 {
			return tasks.NewError(tasks.ClassRateLimited, errors.New("slow down"))
		}
		return nil
	})
	publish(t, q, other(1))
	c.await(t, "the fifth try", func(seen map[int]int, _ int) bool { return seen[1] == 5 })
}

// angry is an error that panics when it is looked at.
type angry struct{}

func (angry) Error() string { panic("do not look") }

func panics(t *testing.T, open Open) {
	q := open(t, quick())()
	c := newTally()
	subscribe(t, q, func(_ context.Context, m *mq.Message) error {
		if c.add(number(m)) > 1 {
			return nil
		}
		switch number(m) {
		case 1:
			var nothing map[string]int
			nothing["x"] = 1
		case 2:
			runtime.Goexit()
		case 3:
			return angry{}
		}
		return nil
	})
	publish(t, q, other(1), other(2), other(3), other(4))
	c.await(t, "a second try of each that failed", func(seen map[int]int, _ int) bool {
		return seen[1] == 2 && seen[2] == 2 && seen[3] == 2 && seen[4] == 1
	})
}

func bounded(t *testing.T, open Open) {
	cfg := quick()
	cfg.Concurrency = 3
	q := open(t, cfg)()
	c := newTally()
	var running, most atomic.Int64
	full := make(chan struct{})
	var once sync.Once
	subscribe(t, q, func(_ context.Context, m *mq.Message) error {
		n := running.Add(1)
		for {
			old := most.Load()
			if n <= old || most.CompareAndSwap(old, n) {
				break
			}
		}
		if n == 3 {
			once.Do(func() { close(full) })
		}
		wait(t, "three handlers at once", full)
		c.add(number(m))
		running.Add(-1)
		return nil
	})
	for n := range 40 {
		publish(t, q, other(n))
	}
	c.await(t, "the arrival of all", func(seen map[int]int, _ int) bool { return len(seen) == 40 })
	if n := most.Load(); n != 3 {
		t.Errorf("%d handlers ran at once", n)
	}
}

func limited(t *testing.T, open Open) {
	cfg := quick()
	cfg.Timeout = 50 * time.Millisecond
	q := open(t, cfg)()
	c := newTally()
	subscribe(t, q, func(ctx context.Context, m *mq.Message) error {
		if c.add(number(m)) == 1 {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	})
	publish(t, q, other(1))
	c.await(t, "the try after the limit", func(seen map[int]int, _ int) bool { return seen[1] == 2 })
}

func endedContext(t *testing.T, open Open) {
	q := open(t, quick())()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for n := range 20 {
		if err := q.Publish(ended, other(n)); err != nil {
			t.Fatal(err)
		}
	}
	c := newTally()
	subscribe(t, q, func(_ context.Context, m *mq.Message) error { c.add(number(m)); return nil })
	c.await(t, "the arrival of all", func(seen map[int]int, _ int) bool { return len(seen) == 20 })
}

func refused(t *testing.T, open Open) {
	q := open(t, quick())()
	with := func(user, report any) *mq.Message {
		return &mq.Message{Type: mq.MessageTypeEvaluationReport, Payload: map[string]any{"user_id": user, "report_id": report}}
	}
	for name, m := range map[string]*mq.Message{
		"nil":               nil,
		"no type":           {Payload: map[string]any{"n": 1}},
		"a type too long":   {Type: mq.MessageType(strings.Repeat("x", 101))},
		"a strange type":    {Type: "a\x00b"},
		"a channel":         {Type: "t", Payload: map[string]any{"c": make(chan int)}},
		"no ids":            {Type: mq.MessageTypeTopicEvaluation},
		"user 0":            with(0, 42),
		"report 0":          with(7, 0),
		"user -1":           with(-1, 42),
		"a fraction":        with(1.9, 42),
		"text":              with("seven", 42),
		"a damaged id":      with(7, float64(1<<60)),
		"above 2^63-1":      with(7, uint64(1<<63)),
		"a list":            with([]int{7}, 42),
		"another case":      {Type: mq.MessageTypeEvaluationReport, Payload: map[string]any{"USER_ID": 7, "REPORT_ID": 42}},
		"an empty string":   with("", 42),
		"a string fraction": with("7.5", 42),
	} {
		var bad *tasks.InvalidError
		if err := q.Publish(context.Background(), m); !errors.As(err, &bad) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := newTally()
	subscribe(t, q, func(_ context.Context, m *mq.Message) error { c.add(number(m)); return nil })
	c.flush(t, q, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.total != 1 {
		t.Errorf("%d messages arrived, one was published", c.total)
	}
}

func large(t *testing.T, open Open) {
	q := open(t, quick())()
	text := strings.Repeat("x", 5<<20)
	publish(t, q, &mq.Message{Type: "big", Payload: map[string]any{"text": text}})
	got := make(chan bool, 1)
	subscribe(t, q, func(_ context.Context, m *mq.Message) error { got <- m.Payload["text"] == text; return nil })
	if !<-got {
		t.Error("it arrived changed")
	}
	var bad *tasks.InvalidError
	err := q.Publish(context.Background(), &mq.Message{Type: "big", Payload: map[string]any{"text": text + text}})
	if !errors.As(err, &bad) || len(err.Error()) > 300 {
		t.Errorf("one above the limit: %.300v", err)
	}
}

func endsWithContext(t *testing.T, open Open) {
	q := open(t, quick())()
	c := newTally()
	stop := subscribe(t, q, func(_ context.Context, m *mq.Message) error { c.add(number(m)); return nil })
	c.flush(t, q, 1)
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("Subscribe returned %v", err)
	}
	publish(t, q, other(2))
	subscribe(t, q, func(_ context.Context, m *mq.Message) error { c.add(number(m)); return nil })
	c.await(t, "the arrival at the next who subscribes", func(seen map[int]int, _ int) bool { return seen[2] == 1 })
}

func endsWithClose(t *testing.T, open Open) {
	q := open(t, quick())()
	c := newTally()
	ended := make(chan error, 1)
	go func() {
		ended <- q.Subscribe(context.Background(), func(_ context.Context, m *mq.Message) error { c.add(number(m)); return nil })
	}()
	c.flush(t, q, 1)
	closeQueue(t, q)
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("Subscribe did not end")
	}
}

func mayFinish(t *testing.T, open Open) {
	q := open(t, quick())()
	c := newTally()
	began := make(chan struct{})
	var finished atomic.Bool
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = q.Subscribe(ctx, func(inner context.Context, m *mq.Message) error {
			close(began)
			<-ctx.Done()
			if inner.Err() != nil {
				t.Error("the handler's context ended with its subscription's")
			}
			c.add(number(m))
			finished.Store(true)
			return nil
		})
		if !finished.Load() {
			t.Error("Subscribe returned before its handler")
		}
	}()
	publish(t, q, other(1))
	wait(t, "the handler", began)
	cancel()
	wait(t, "the end of Subscribe", ended)
	subscribe(t, q, func(_ context.Context, m *mq.Message) error { c.add(number(m)); return nil })
	c.flush(t, q, 2)
	if n := c.of(1); n != 1 {
		t.Errorf("the message was handled %d times", n)
	}
}

func handedBack(t *testing.T, open Open) {
	cfg := quick()
	cfg.DrainTimeout, cfg.Attempts = 20*time.Millisecond, 1
	q := open(t, cfg)()
	began := make(chan struct{})
	stop := subscribe(t, q, func(ctx context.Context, m *mq.Message) error {
		close(began)
		<-ctx.Done()
		return ctx.Err()
	})
	publish(t, q, other(1))
	wait(t, "the handler", began)
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	c := newTally()
	subscribe(t, q, func(_ context.Context, m *mq.Message) error { c.add(number(m)); return nil })
	c.await(t, "the second handler", func(seen map[int]int, _ int) bool { return seen[1] == 1 })
}

func endedIsNotCalled(t *testing.T, open Open) {
	q := open(t, quick())()
	a, b := newTally(), newTally()
	stop := subscribe(t, q, func(_ context.Context, m *mq.Message) error { a.add(number(m)); return nil })
	a.flush(t, q, 1)
	_ = stop()
	subscribe(t, q, func(_ context.Context, m *mq.Message) error { b.add(number(m)); return nil })
	for n := 2; n < 30; n++ {
		publish(t, q, other(n))
	}
	b.await(t, "the arrival of all at the second handler", func(seen map[int]int, _ int) bool { return len(seen) == 28 })
}

func closeAgain(t *testing.T, open Open) {
	q := open(t, quick())()
	c := newTally()
	subscribe(t, q, func(_ context.Context, m *mq.Message) error { c.add(number(m)); return nil })
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 25 {
				if err := q.Publish(context.Background(), other(25*i+n)); err != nil && !errors.Is(err, mq.ErrClosed) {
					t.Error(err)
				}
			}
		})
		wg.Go(func() { closeQueue(t, q) })
	}
	wg.Wait()
	closeQueue(t, q)
}

func closedRefuses(t *testing.T, open Open) {
	q := open(t, quick())()
	closeQueue(t, q)
	err := q.Subscribe(context.Background(), func(context.Context, *mq.Message) error { return nil })
	if !errors.Is(err, mq.ErrClosed) {
		t.Errorf("Subscribe after Close: %v", err)
	}
}

func nilHandler(t *testing.T, open Open) {
	q := open(t, quick())()
	var bad *tasks.InvalidError
	if err := q.Subscribe(context.Background(), nil); !errors.As(err, &bad) {
		t.Errorf("a nil handler: %v", err)
	}
}

func ready(t *testing.T, open Open) {
	q := open(t, quick())()
	r, ok := q.(interface{ Ready(context.Context) error })
	if !ok {
		t.Fatal("the queue has no method Ready")
	}
	if err := r.Ready(t.Context()); err != nil {
		t.Errorf("an empty queue: %v", err)
	}
	publish(t, q, other(1))
	if err := r.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "nobody has subscribed") {
		t.Errorf("a message that nobody takes: %v", err)
	}
	c := newTally()
	subscribe(t, q, func(_ context.Context, m *mq.Message) error { c.add(number(m)); return nil })
	c.flush(t, q, 2)
	c.await(t, "the arrival of both", func(seen map[int]int, _ int) bool { return len(seen) == 2 })
	limit := time.After(patience)
	for r.Ready(t.Context()) != nil {
		select {
		case <-limit:
			t.Fatalf("with a consumer: %v", r.Ready(t.Context()))
		case <-time.After(10 * time.Millisecond):
		}
	}
}
