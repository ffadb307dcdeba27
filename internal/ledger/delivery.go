package ledger

import "evalq/tasks"

// aheadMost is by how much the number of a delivery may be above the ledger's own. A
// ledger that was restored from a backup meets tasks of all hand-overs since. Whoever
// can write to Redis can make up any number, and a job cannot be handed over again
// once it has the highest.
const aheadMost = 1_000_000

// newestDelivery is the highest number that a task of j may have.
func newestDelivery(j *job) int {
	return min(max(0, min(j.Delivery, tasks.MaxDelivery))+aheadMost, tasks.MaxDelivery)
}

// countable reports whether another delivery of j can have the next number.
func countable(j *job) bool { return j.Delivery >= 1 && j.Delivery < tasks.MaxDelivery }

// nextDelivery numbers the next hand-over of j. After a number that no hand-over has
// made, it goes on above those that were begun, with room for those that were not.
func (l *Ledger) nextDelivery(t *txn, j *job) error {
	if countable(j) {
		j.Delivery++
		return nil
	}
	begun := 0
	if _, err := t.row([]any{&begun}, `SELECT coalesce(max(delivery), 0) FROM evalq_attempts WHERE job_id = ? AND delivery BETWEEN 1 AND ?`,
		j.ID, tasks.MaxDelivery-2*aheadMost); err != nil {
		return err
	}
	j.Delivery = begun + aheadMost
	return nil
}

// renumber hands a job over again whose task has a number that no hand-over has made.
func (l *Ledger) renumber(t *txn, j *job, who string) error {
	if countable(j) || j.State != tasks.Queued && j.State != tasks.Retrying {
		return nil
	}
	if err := l.deliverAgain(t, j, who, "its task had a number that no hand-over has made"); err != nil {
		return err
	}
	t.after = append(t.after, l.notices.wake)
	return l.save(t, j)
}
