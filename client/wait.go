package client

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"evalq/tasks"
)

// pollFor is how long one request of wait stays open: shorter than what
// proxies commonly allow.
const pollFor = 25 * time.Second

// wait polls until the job has finished. Each poll has its own deadline, so
// that a connection that died silently is noticed.
func (c *rest) wait(ctx context.Context, id string) (tasks.Job, error) {
	var last tasks.Job
	pause := firstPause
	for {
		begin := time.Now()
		job, err := c.poll(ctx, id)
		switch {
		case err == nil:
			last = job
			if job.State.Finished() {
				return job, nil
			}
			// A server that is stopping, or a proxy, may answer at once.
			if time.Since(begin) > time.Second {
				pause = firstPause
				continue
			}
		case ctx.Err() != nil:
			return last, fmt.Errorf("client: wait: %w", context.Cause(ctx))
		case !passing(err):
			return last, fmt.Errorf("client: wait: %w", err)
		default:
			c.http.log.InfoContext(ctx, "request repeated", "doing", "wait", "delay_ms", pause.Milliseconds(), "err", err)
		}
		if !sleep(ctx, pause) {
			return last, fmt.Errorf("client: wait: %w", context.Cause(ctx))
		}
		pause = min(2*pause, longestWait)
	}
}

func (c *rest) poll(ctx context.Context, id string) (job tasks.Job, err error) {
	ctx, cancel := context.WithTimeout(ctx, pollFor+10*time.Second)
	defer cancel()
	err = c.http.once(ctx, call{
		path: jobPath(id), query: url.Values{"wait": {pollFor.String()}}, into: &job,
	})
	return job, err
}

// passing reports whether the error may be gone by the next poll.
func passing(err error) bool {
	var f *failure
	return errors.As(err, &f)
}
