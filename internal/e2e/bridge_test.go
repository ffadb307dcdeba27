package e2e

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"evalq/internal/redistest"
	"evalq/internal/sandbox"
)

// The bridge is killed and started again, and its connection is cut, while old
// programs publish. What Pub/Sub did not deliver is known to nobody but by the
// interviews themselves.
func TestMessagesOfOldProgramsBecomeOneJobEachWhileTheBridgeIsKilledAndCutOff(t *testing.T) {
	t.Parallel()
	const reports, users = 2500, 25
	const tail = 200 // the last messages, sent when all is well again
	s, err := sandbox.StartMariaDB(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the server: %v", err)
		}
	})
	c := &cluster{t: t, sql: s, redis: redistest.Start(t)}
	old := redistest.Start(t)
	c.args = []string{"--ledger-url", s.URL(), "--redis-url", c.redis.URL}
	c.startAPI()
	c.storeInterviews(reports, users)

	bridge := func() *process {
		return start(t, c.serve("--roles", "bridge", "--bridge-redis-url", old.URL, "--listen", "127.0.0.1:0")...)
	}
	running := bridge()
	rdb := old.Client(t)
	var sent atomic.Int64
	receivers := make([]int64, 2*reports) // of each message, as Redis says
	well := make(chan struct{})
	var publisher sync.WaitGroup
	publisher.Go(func() {
		pace := time.NewTicker(10 * time.Millisecond) // 1,000 a second
		defer pace.Stop()
		for n := range receivers {
			if n%10 == 0 {
				<-pace.C
			}
			if n == len(receivers)-tail {
				<-well
			}
			kind, user, report := messageNo(n, users)
			body := fmt.Sprintf(`{"type":"%s","payload":{"report_id":%d,"user_id":%d}}`, kind, report, user)
			got, err := rdb.Publish(t.Context(), "interview:messages:"+kind, body).Result()
			if err != nil {
				t.Error(err)
				return
			}
			receivers[n] = got
			sent.Add(1)
		}
	})
	c.api.await("has been sent some", func() bool { return sent.Load() > 1000 })
	killed := sent.Load()
	running.kill()
	running = bridge()
	back := sent.Load()
	c.api.await("has been sent more", func() bool { return sent.Load() > min(back+500, 2*reports-1000) })
	cut := sent.Load()
	if n, err := rdb.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Result(); err != nil || n != 1 {
		t.Errorf("%d connections were cut, %v", n, err)
	}
	running.await("is ready", func() bool {
		r, err := request(t.Context(), "GET", running.url+"/readyz", nil)
		heard := rdb.PubSubNumSub(t.Context(), "interview:messages:topic_evaluation").Val()
		return err == nil && r.status == 200 && heard["interview:messages:topic_evaluation"] == 1
	})
	close(well)
	publisher.Wait()
	if t.Failed() {
		return
	}
	if code := running.interrupt(); code != 0 { // stores all that it has
		t.Errorf("the bridge ended with %d:\n%s", code, running.out)
	}

	have := c.keys()
	var missing []int
	unheard := 0
	for n, got := range receivers {
		kind, user, report := messageNo(n, users)
		if have[fmt.Sprintf("%s/%d/%d", kind, user, report)] {
			continue
		}
		missing = append(missing, n)
		if got == 0 {
			unheard++
		}
		if n >= len(receivers)-tail {
			t.Errorf("message %d is missing, which was sent when all was well again", n)
		}
	}
	if len(have)+len(missing) != 2*reports {
		t.Errorf("%d jobs and %d missing make no %d", len(have), len(missing), 2*reports)
	}
	t.Logf("of %d messages %d became jobs; %d were lost, %d of them had no receiver; killed at %d, back at %d, cut at %d: %v",
		2*reports, len(have), len(missing), unheard, killed, back, cut, missing)
	out, _ := run(t, append([]string{"doctor"}, c.args...)...)
	if !strings.Contains(out, "no bridge heard") || !strings.Contains(out, "programs still publish on") {
		t.Errorf("the doctor knows of no gap:\n%s", out)
	}

	// What is missing is found by the interviews that have no evaluation.
	if out, code := run(t, "backfill", "--yes", "--older-than", "0s", "--url", c.api.url); code != 0 {
		t.Fatalf("backfill ended with %d:\n%s", code, out)
	}
	if have = c.keys(); len(have) != 2*reports {
		t.Fatalf("%d jobs in the end, want %d", len(have), 2*reports)
	}
}

// messageNo gives what the nth message asks for: both kinds of a report in turn.
func messageNo(n, users int) (kind string, user, report int) {
	report = n/2 + 1
	return []string{"evaluation_report", "topic_evaluation"}[n%2], report%users + 1, report
}

func (c *cluster) storeInterviews(reports, users int) {
	c.t.Helper()
	next := make(chan int)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for n := range next {
				_, user, report := messageNo(n, users)
				r, err := request(c.t.Context(), "PUT", fmt.Sprintf("%s/v1/interviews/%d", c.api.url, report), slice(int64(user)))
				if err != nil || r.status != 201 {
					c.t.Errorf("store interview %d: %v %s", report, err, r.raw)
				}
			}
		})
	}
	for report := range reports {
		next <- 2 * report
	}
	close(next)
	wg.Wait()
}

// keys lists the keys of all jobs, and fails when one has two.
func (c *cluster) keys() map[string]bool {
	c.t.Helper()
	seen := map[string]bool{}
	for cursor := ""; ; {
		page := c.api.call("GET", "/v1/evaluations?limit=500&cursor="+cursor, nil, 200).body
		for _, raw := range page["jobs"].([]any) {
			job := raw.(map[string]any)
			key := fmt.Sprintf("%s/%s/%s", job["kind"], job["user_id"], job["report_id"])
			if seen[key] {
				c.t.Errorf("there is a second job for %s", key)
			}
			seen[key] = true
		}
		if cursor, _ = page["next"].(string); cursor == "" {
			return seen
		}
	}
}
