package client_test

import (
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"evalq/tasks"
)

// What looks natural, to search for the key with a lock and then to insert it,
// ends in a deadlock for two programs with two keys that have nothing to do with
// each other: on MySQL a search that finds nothing locks the gap where it looked.
func TestTwoNewKeysThatWouldBeADeadlockAreSubmittedSideBySide(t *testing.T) {
	t.Parallel()
	_, url := mariadb.served(t)
	ctx := t.Context()
	search := func(tx visit, id int64) {
		t.Helper()
		rows, err := tx.QueryContext(ctx, `SELECT seq FROM evalq_jobs WHERE kind = 'evaluation_report' AND user_id = 7 AND report_id = ? FOR UPDATE`, id)
		if err != nil {
			t.Fatal(err)
		}
		rows.Close()
	}
	insert := func(tx visit, id int64) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO evalq_jobs (id, kind, user_id, report_id, revision, queue, state, budget, accepted_at, moved_at)
			VALUES (?, 'evaluation_report', 7, ?, 1, 'default', 'accepted', 5, 1, 1)`, tasks.NewID(time.Now()), id)
		return err
	}
	first, second := beginSQL(t, url, sql.LevelDefault), beginSQL(t, url, sql.LevelDefault)
	search(first, 1)
	search(second, 2)
	done := make(chan error, 1)
	go func() { done <- insert(first, 1) }()
	err := errors.Join(insert(second, 2), <-done)
	var refused *mysql.MySQLError
	if !errors.As(err, &refused) || refused.Number != 1213 {
		t.Fatalf("the natural way does work: %v", err)
	}
	if err := errors.Join(first.rollback(), second.rollback()); err != nil {
		t.Fatal(err)
	}

	c := open(t, url, nil)
	first, second = beginSQL(t, url, sql.LevelDefault), beginSQL(t, url, sql.LevelDefault)
	must(c.SubmitTx(ctx, first, report(1)))(t)
	must(c.SubmitTx(ctx, second, report(2)))(t)
	must(c.SubmitTx(ctx, first, report(3)))(t)
	must(c.SubmitTx(ctx, second, report(4)))(t)
	if err := errors.Join(second.commit(), first.commit()); err != nil {
		t.Error(err)
	}
}
