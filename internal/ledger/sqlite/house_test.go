package sqlite_test

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"evalq/internal/evaluation"
	"evalq/internal/ledger"
	"evalq/internal/ledger/sqlite"
	"evalq/tasks"
)

// secret is in everything that a user has said and that was made of it.
const secret = "I once dropped a table"

// foundIn names the files of a folder that have the text in them, wherever.
func foundIn(t *testing.T, dir, text string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte(text)) {
			names = append(names, e.Name())
		}
	}
	return names
}

// confide stores an interview and brings a job to its end, with the secret in the
// answer, a step, the data, an error and the result.
func confide(t *testing.T, db *sqlite.DB, user, report int64) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, length := range []int{1, 900, 40} { // rows move about as they change
		_, err := db.PutInterview(ctx, evaluation.Interview{UserID: user, ReportID: report, Language: "en", Answers: []evaluation.Answer{{
			DialogID: "1", Question: "q", Answer: strings.Repeat(secret+" ", length),
		}}}, "test")
		must(err)
	}
	value, err := json.Marshal(strings.Repeat(secret, 300))
	must(err)
	_, _, err = db.Accept(ctx, tasks.Request{Payload: tasks.Custom{Name: "chat", UserID: user, ReportID: report, Data: value}}, "test")
	must(err)
	fed, err := db.Feed(ctx, tasks.Default, ledger.Window{PerUser: 100, Total: 1000})
	must(err)
	for _, j := range fed.Jobs {
		c, err := db.Begin(ctx, tasks.Delivery{Job: j.ID, Number: j.Delivery, Worker: "w"})
		must(err)
		f := tasks.Fence{Job: j.ID, Attempt: c.Job.Attempt, Worker: "w"}
		for _, scope := range []string{j.Scope(), j.ReportScope()} {
			_, err = db.ClaimStep(ctx, f, scope, "s")
			must(err)
			must(db.SaveStep(ctx, f, scope, "s", value))
		}
		must(db.Stuck(ctx, f, secret))
		must(db.Complete(ctx, f, tasks.Finish{Result: value, Judge: "j"}))
	}
}

func TestWhatAnErasedUserSaidIsInNoByteOfTheFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := open(t, dir, nil)
	defer db.Close()
	if err := db.Join(t.Context(), tasks.Worker{ID: "w"}); err != nil {
		t.Fatal(err)
	}
	for report := range int64(20) {
		confide(t, db, 7, report+1)
		later := tasks.Request{Payload: tasks.EvaluationReport{UserID: 8, ReportID: report + 1}, RunAt: time.Now().Add(time.Hour)}
		if _, _, err := db.Accept(t.Context(), later, "test"); err != nil { // others' rows stand between
			t.Fatal(err)
		}
	}
	if found := foundIn(t, dir, secret); len(found) == 0 {
		t.Fatal("it was never there")
	}
	if err := db.Scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := db.Erase(t.Context(), 7, ledger.Removal{})
	if err != nil || !got.Done || got.Jobs != 20 || got.Checkpoints != 40 || got.Interviews != 20 {
		t.Fatalf("erased %+v, %v", got, err)
	}
	if err := db.Scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found := foundIn(t, dir, secret); len(found) != 0 {
		t.Fatalf("it is still in %v", found)
	}
	if page, err := db.List(t.Context(), tasks.Filter{UserID: 8}); err != nil || len(page.Jobs) != 20 {
		t.Fatalf("the other user has %d jobs, %v", len(page.Jobs), err)
	}
}

// setAside puts a payload into quarantine, settled at a time in milliseconds.
func setAside(t *testing.T, dir, taskID, body string, settled int64) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "evalq.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = db.Exec(`INSERT INTO evalq_quarantine (fingerprint, at, source, queue, task_id, reason, body, settled_at) VALUES (?, 1, 's', 'default', ?, 'r', ?, ?)`,
		taskID+body, taskID, []byte(body), settled)
	if err != nil {
		t.Fatal(err)
	}
}

func quarantined(t *testing.T, dir string) (bodies []string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "evalq.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(`SELECT body FROM evalq_quarantine ORDER BY seq`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var body string
		if err := rows.Scan(&body); err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, body)
	}
	return bodies
}

func TestAnErasureFindsTheUserInWhatCouldNotBeRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := open(t, dir, nil)
	defer db.Close()
	mine := []string{
		`{"user_id":7,"report_id":1,"more":1}`, `{"userId":"7"}`, `{"type":"evaluation_report","payload":{"report_id":1,"user_id":7}}`,
		`{"user_id":7,`, `user_id = 7`, `{"user_id":7,"user_id":8}`, `{"user_id":8,"data":{"user_id":7}}`, `"user_id 7"`, `[{"user_id":7}]`,
	}
	doubtful := []string{`7`, `[7]`}
	others := []string{`{"user_id":77}`, `{"user_id":70,`, `{"report_id":7}`, `a7b`, "\xff\xfe"}
	for n := range 300 { // more than a page
		setAside(t, dir, "t"+strconv.Itoa(n), others[n%len(others)], 0)
	}
	for _, body := range slices.Concat(mine, doubtful) {
		setAside(t, dir, "x", body, 0)
	}
	setAside(t, dir, "adopt.chat.7.1.abc", "unreadable", 0)
	setAside(t, dir, "adopt.chat.8.7", "others'", 0)
	for _, dry := range []bool{true, false} {
		got, err := db.Erase(t.Context(), 7, ledger.Removal{Dry: dry})
		if err != nil || got.Quarantined != len(mine)+len(doubtful)+1 || got.Doubtful != len(doubtful) {
			t.Fatalf("dry %v: %+v, %v", dry, got, err)
		}
	}
	left := quarantined(t, dir)
	if len(left) != 301 || left[300] != "others'" {
		t.Fatalf("%d are left", len(left))
	}
}

func TestOnlyWhatWasSettledLongAgoLeavesTheQuarantine(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(*sqlite.DB) error{
		"by a purge": func(db *sqlite.DB) error {
			_, err := db.Purge(t.Context(), time.Now().Add(-time.Hour), ledger.Removal{})
			return err
		},
		"by age": func(db *sqlite.DB) error {
			_, err := db.Trim(t.Context(), time.Now().Add(-time.Hour))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			db := open(t, dir, nil)
			defer db.Close()
			setAside(t, dir, "1", "open", 0)
			setAside(t, dir, "2", "settled long ago", time.Now().Add(-2*time.Hour).UnixMilli())
			setAside(t, dir, "3", "settled just now", time.Now().UnixMilli())
			if err := remove(db); err != nil {
				t.Fatal(err)
			}
			if left := quarantined(t, dir); len(left) != 2 || left[0] != "open" || left[1] != "settled just now" {
				t.Fatalf("left are %q", left)
			}
		})
	}
}
