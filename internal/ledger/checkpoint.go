package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"evalq/tasks"
)

// ClaimStep asks for a paid step before it is paid for. The answer is its
// stored outcome, or that another live attempt is at work on it, or a claim: the
// zero Checkpoint. A claim ends with its attempt.
func (l *Ledger) ClaimStep(ctx context.Context, f tasks.Fence, scope, name string) (tasks.Checkpoint, error) {
	name = stepKey(name)
	var c tasks.Checkpoint
	err := l.w.do(ctx, func(t *txn) error {
		c = tasks.Checkpoint{}
		j, err := t.fenced(f)
		if err != nil {
			return err
		}
		if j.CancelAsk {
			return refuse(tasks.ErrCancelled)
		}
		c, err = l.claim(t, j, f, scope, name)
		return err
	})
	if err != nil {
		return tasks.Checkpoint{}, fmt.Errorf("ledger: claim step of %s: %w", f.Job, err)
	}
	return c, nil
}

// stepKey is a step's name such that each database tells it from all others. MySQL
// takes spaces at the end for nothing, and what is no text is replaced.
func stepKey(name string) string {
	if name == legible(name) && !strings.HasSuffix(name, " ") {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return fits(legible(name), 400) + "#" + hex.EncodeToString(sum[:])
}

func (l *Ledger) claim(t *txn, j *job, f tasks.Fence, scope, name string) (tasks.Checkpoint, error) {
	var owner string
	var attempt int
	var done, claimed int64
	var value []byte
	found, err := t.row([]any{&owner, &attempt, &claimed, &done, &value},
		`SELECT job_id, attempt, claimed_at, done_at, value FROM evalq_checkpoints WHERE scope = ? AND name = ?`+t.d.lock, scope, name)
	if err != nil {
		return tasks.Checkpoint{}, err
	}
	if !found {
		_, err := t.exec(`INSERT INTO evalq_checkpoints (scope, name, job_id, attempt, claimed_at) VALUES (?, ?, ?, ?, ?)`,
			scope, name, f.Job, f.Attempt, ms(l.now()))
		return tasks.Checkpoint{}, err
	}
	if done != 0 {
		if l.mayUse(j, owner, attempt, at(claimed)) {
			return tasks.Checkpoint{Done: true, Value: json.RawMessage(value)}, nil
		}
		return tasks.Checkpoint{}, l.reclaim(t, f, scope, name)
	}
	if owner == f.Job && attempt == f.Attempt {
		return tasks.Checkpoint{}, nil
	}
	taken, err := l.attemptLives(t, owner, attempt)
	if err != nil {
		return tasks.Checkpoint{}, err
	}
	if taken {
		return tasks.Checkpoint{Taken: true, Owner: owner}, nil
	}
	if err := l.noteUnsure(t, owner, name); err != nil {
		return tasks.Checkpoint{}, err
	}
	return tasks.Checkpoint{}, l.reclaim(t, f, scope, name)
}

// reclaim gives a step to another attempt. What was kept of it goes.
func (l *Ledger) reclaim(t *txn, f tasks.Fence, scope, name string) error {
	_, err := t.exec(`UPDATE evalq_checkpoints SET job_id = ?, attempt = ?, claimed_at = ?, done_at = 0, value = NULL WHERE scope = ? AND name = ?`,
		f.Job, f.Attempt, ms(l.now()), scope, name)
	return err
}

// ForgetStep removes the kept outcome of a step that the attempt's handler cannot
// use, so that the step is paid for again. If the attempt has kept it itself, that
// does not count as getting on any more. A step that is not kept, or that another
// job is at work on, is left alone.
func (l *Ledger) ForgetStep(ctx context.Context, f tasks.Fence, scope, name string) error {
	name = stepKey(name)
	err := l.w.do(ctx, func(t *txn) error {
		if _, err := t.fenced(f); err != nil {
			return err
		}
		own, err := t.changed(`DELETE FROM evalq_checkpoints WHERE scope = ? AND name = ? AND job_id = ? AND attempt = ? AND done_at <> 0`, scope, name, f.Job, f.Attempt)
		if err != nil {
			return err
		}
		if own > 0 {
			_, err = t.exec(`UPDATE evalq_attempts SET saved = saved - 1 WHERE job_id = ? AND number = ? AND saved > 0`, f.Job, f.Attempt)
			return err
		}
		_, err = t.exec(`DELETE FROM evalq_checkpoints WHERE scope = ? AND name = ? AND done_at <> 0`, scope, name)
		return err
	})
	if err != nil {
		return fmt.Errorf("ledger: forget step of %s: %w", f.Job, err)
	}
	return nil
}

// ForgetSteps removes all kept outcomes of a scope, such as those of a job's own
// steps, because what came of them is of no use. Those that the attempt has kept
// itself do not count as getting on any more.
func (l *Ledger) ForgetSteps(ctx context.Context, f tasks.Fence, scope string) error {
	err := l.w.do(ctx, func(t *txn) error {
		if _, err := t.fenced(f); err != nil {
			return err
		}
		own, err := t.changed(`DELETE FROM evalq_checkpoints WHERE scope = ? AND job_id = ? AND attempt = ? AND done_at <> 0`, scope, f.Job, f.Attempt)
		if err != nil {
			return err
		}
		if _, err := t.exec(`DELETE FROM evalq_checkpoints WHERE scope = ? AND done_at <> 0`, scope); err != nil || own == 0 {
			return err
		}
		_, err = t.exec(`UPDATE evalq_attempts SET saved = CASE WHEN saved > ? THEN saved - ? ELSE 0 END WHERE job_id = ? AND number = ?`, own, own, f.Job, f.Attempt)
		return err
	})
	if err != nil {
		return fmt.Errorf("ledger: forget steps of %s: %w", f.Job, err)
	}
	return nil
}

func (l *Ledger) attemptLives(t *txn, id string, attempt int) (bool, error) {
	var worker string
	found, err := t.row([]any{&worker}, `SELECT worker FROM evalq_jobs WHERE id = ? AND state = 'running' AND attempt = ?`, id, attempt)
	if err != nil || !found {
		return false, err
	}
	return l.alive(t, worker)
}

// SaveStep stores the outcome of a claimed step and counts it for the attempt.
// Jobs that wait for an answer of the same report are sent on their way.
func (l *Ledger) SaveStep(ctx context.Context, f tasks.Fence, scope, name string, value json.RawMessage) error {
	name = stepKey(name)
	err := l.w.do(ctx, func(t *txn) error {
		j, err := t.fenced(f)
		if err != nil {
			return err
		}
		n, err := t.changed(`UPDATE evalq_checkpoints SET value = ?, done_at = ? WHERE scope = ? AND name = ? AND job_id = ? AND attempt = ? AND done_at = 0`,
			[]byte(value), ms(l.now()), scope, name, f.Job, f.Attempt)
		if err != nil {
			return err
		}
		if n != 1 {
			return t.savedBefore(f, scope, name)
		}
		if _, err := t.exec(`UPDATE evalq_attempts SET saved = saved + 1 WHERE job_id = ? AND number = ?`, f.Job, f.Attempt); err != nil {
			return err
		}
		return l.release(t, j.UserID, j.ReportID, tasks.HoldAnswerInProgress, "ledger", "an answer was finished")
	})
	if err != nil {
		return fmt.Errorf("ledger: save step of %s: %w", f.Job, err)
	}
	return nil
}

// savedBefore takes a step that the same attempt has stored for a success: the
// answer to its commit was lost.
func (t *txn) savedBefore(f tasks.Fence, scope, name string) error {
	var n int
	if _, err := t.row([]any{&n}, `SELECT count(*) FROM evalq_checkpoints WHERE scope = ? AND name = ? AND job_id = ? AND attempt = ? AND done_at <> 0`,
		scope, name, f.Job, f.Attempt); err != nil || n == 1 {
		return err
	}
	return refuse(fmt.Errorf("the step is not claimed by attempt %d: %w", f.Attempt, tasks.ErrStale))
}

// DropStep gives a claim back when its step failed, so that another job need
// not wait for the end of the attempt.
func (l *Ledger) DropStep(ctx context.Context, f tasks.Fence, scope, name string) error {
	name = stepKey(name)
	err := l.w.do(ctx, func(t *txn) error {
		n, err := t.changed(`DELETE FROM evalq_checkpoints WHERE scope = ? AND name = ? AND job_id = ? AND attempt = ? AND done_at = 0`,
			scope, name, f.Job, f.Attempt)
		if err != nil || n == 0 {
			return err
		}
		j, err := t.byID(f.Job)
		if err != nil {
			return err
		}
		if err := l.noteUnsure(t, f.Job, name); err != nil {
			return err
		}
		return l.release(t, j.UserID, j.ReportID, tasks.HoldAnswerInProgress, "ledger", "the other job let go")
	})
	if err != nil {
		return fmt.Errorf("ledger: drop step of %s: %w", f.Job, err)
	}
	return nil
}
