package client_test

import (
	"database/sql"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"evalq/tasks"
)

// fewRights makes a user of the database who may read, insert and update, and
// gives the URL to open it with.
func fewRights(t *testing.T, d database, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	user := "few_" + name
	grants := []string{
		"CREATE ROLE " + user + " LOGIN PASSWORD 'few'",
		"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO " + user,
	}
	if d.name == mariadb.name {
		grants = []string{
			"CREATE USER " + user + " IDENTIFIED BY 'few'",
			"GRANT SELECT, INSERT, UPDATE ON " + name + ".* TO " + user,
		}
	}
	db := handle(t, address)
	for _, g := range grants {
		if _, err := db.ExecContext(t.Context(), g); err != nil {
			t.Fatal(err)
		}
	}
	u.User = url.UserPassword(user, "few")
	return u.String()
}

func TestAUserWhoMayReadInsertAndUpdateCanDoAllThatAClientDoes(t *testing.T) {
	t.Parallel()
	for _, d := range []database{postgresql, mariadb} {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			l, address := d.served(t)
			address = fewRights(t, d, address)
			c := open(t, address, nil)
			ctx := t.Context()
			j := must(c.Submit(ctx, report(1)))(t)
			must(c.Cancel(ctx, j.ID, ""))(t)
			must(c.Retry(ctx, j.ID, ""))(t)
			must(c.PutInterview(ctx, 1, json.RawMessage(`{"user_id":7,"answers":[]}`)))(t)
			if err := finish(ctx, l, j.ID); err != nil {
				t.Fatal(err)
			}
			must(c.Wait(ctx, j.ID))(t)
			must(c.Report(ctx, 1))(t)
			must(c.List(ctx, tasks.Filter{}))(t)
			tx := beginSQL(t, address, sql.LevelDefault)
			must(c.SubmitTx(ctx, tx, report(2)))(t)
			must(c.SubmitTx(ctx, tx, report(1)))(t)
			if err := tx.commit(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
