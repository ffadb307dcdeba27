package platform_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"evalq/internal/evaluation"
	"evalq/internal/mysqlurl"
	"evalq/internal/platform"
	"evalq/internal/sqltest"
	"evalq/tasks"
)

func TestMain(m *testing.M) { sqltest.Main(m) }

// The platform's tables as its program makes them by itself, and as a script of
// its deployment does, with columns that the program does not know.
var (
	byProgram = []string{
		`CREATE TABLE interview_record (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, user_id BIGINT UNSIGNED NOT NULL, type VARCHAR(50), difficulty VARCHAR(50),
			domain VARCHAR(100), company_name VARCHAR(100), position_name VARCHAR(100), status VARCHAR(20) DEFAULT 'pending', duration BIGINT,
			created_at DATETIME(3), updated_at DATETIME(3))`,
		`CREATE TABLE interview_dialogues (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, user_id BIGINT UNSIGNED NOT NULL, report_id BIGINT UNSIGNED NOT NULL,
			question TEXT, answer TEXT, created_at DATETIME(3))`,
		`CREATE TABLE interview_evaluation (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, user_id BIGINT UNSIGNED NOT NULL, report_id BIGINT UNSIGNED NOT NULL,
			comment TEXT, score DECIMAL(5,2), dimensions JSON, deleted TINYINT DEFAULT 0, created_at DATETIME(3), updated_at DATETIME(3), KEY (user_id), KEY (report_id), KEY (deleted))`,
		`CREATE TABLE answer_report (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, user_id BIGINT UNSIGNED NOT NULL, report_id BIGINT UNSIGNED NOT NULL,
			records JSON, deleted TINYINT DEFAULT 0, created_at DATETIME(3), updated_at DATETIME(3), KEY (user_id), KEY (report_id), KEY (deleted))`,
	}
	byScript = []string{
		`CREATE TABLE interview_record (id BIGINT NOT NULL AUTO_INCREMENT, user_id BIGINT NOT NULL, type VARCHAR(32) NOT NULL DEFAULT '', difficulty VARCHAR(32) NOT NULL DEFAULT '',
			domain VARCHAR(64), company_name VARCHAR(128), position_name VARCHAR(128), status ENUM('pending','completed') NOT NULL DEFAULT 'pending', duration INT NOT NULL DEFAULT 0,
			created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, PRIMARY KEY (id))`,
		`CREATE TABLE interview_dialogues (id BIGINT NOT NULL AUTO_INCREMENT, user_id BIGINT NOT NULL, report_id BIGINT NOT NULL, topic_id BIGINT NOT NULL, parent_id BIGINT NOT NULL,
			display_order INT NOT NULL DEFAULT 0, question TEXT NOT NULL, answer TEXT, created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (id))`,
		`CREATE TABLE interview_evaluation (id BIGINT NOT NULL AUTO_INCREMENT, user_id BIGINT NOT NULL, report_id BIGINT NOT NULL, comment TEXT NOT NULL, score DECIMAL(5,2) NOT NULL DEFAULT 0,
			dimensions JSON NOT NULL, deleted TINYINT(1) NOT NULL DEFAULT 0, created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (id))`,
		`CREATE TABLE answer_report (id BIGINT NOT NULL AUTO_INCREMENT, user_id BIGINT NOT NULL, report_id BIGINT NOT NULL, records JSON NOT NULL,
			deleted TINYINT(1) NOT NULL DEFAULT 0, created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (id))`,
	}
	variants = map[string][]string{"the program's tables": byProgram, "the script's tables": byScript}
)

// world is a platform's database and an open store on it.
type world struct {
	*testing.T
	*platform.Store
	url string
	db  *sql.DB
}

// noon is when the store of a test writes.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 345e6, time.UTC)

func raw(t *testing.T, url string) *sql.DB {
	t.Helper()
	conf, err := mysqlurl.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("mysql", conf.FormatDSN())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func newWorld(t *testing.T, tables []string) *world {
	t.Helper()
	w := &world{T: t, url: sqltest.MariaDB(t) + "?loc=UTC"}
	w.db = raw(t, w.url)
	for _, s := range tables {
		w.exec(s)
	}
	w.Store = w.open()
	return w
}

func (w *world) open() *platform.Store {
	w.Helper()
	s, err := platform.Open(w.Context(), w.url, &platform.Config{Now: func() time.Time { return noon }})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		if err := s.Close(); err != nil {
			w.Errorf("close: %v", err)
		}
	})
	return s
}

func (w *world) exec(query string, args ...any) {
	w.Helper()
	if _, err := w.db.ExecContext(w.Context(), query, args...); err != nil {
		w.Fatalf("%s: %v", query, err)
	}
}

// text is the one value of a query.
func (w *world) text(query string, args ...any) (out string) {
	w.Helper()
	if err := w.db.QueryRowContext(w.Context(), query, args...).Scan(&out); err != nil {
		w.Fatalf("%s: %v", query, err)
	}
	return out
}

// record is an interview that was created so long before noon.
func (w *world) record(id, user int64, status string, before time.Duration) {
	w.Helper()
	w.exec(`INSERT INTO interview_record (id, user_id, type, difficulty, domain, company_name, position_name, status, created_at) VALUES (?, ?, 'technical', 'hard', 'Go', 'Acme', 'Backend', ?, ?)`,
		id, user, status, noon.Add(-before).Format("2006-01-02 15:04:05"))
}

func (w *world) say(user, report int64, question, answer any) {
	w.Helper()
	query := `INSERT INTO interview_dialogues (user_id, report_id, question, answer`
	if w.text(`SELECT count(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'interview_dialogues' AND column_name = 'topic_id'`) == "1" {
		query += `, topic_id, parent_id) VALUES (?, ?, ?, ?, 1, 0)`
	} else {
		query += `) VALUES (?, ?, ?, ?)`
	}
	w.exec(query, user, report, question, answer)
}

// each runs a test on each form of the platform's tables.
func each(t *testing.T, test func(w *world)) {
	for name, tables := range variants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(newWorld(t, tables))
		})
	}
}

var report = evaluation.OriginalReportShape{
	Comment: "Good.\n不错", Score: 82.75, Dimensions: []evaluation.OriginalDimension{{Name: "完整性", Evaluation: "fine", Score: 83}, {Name: "accuracy", Evaluation: "fine", Score: 82}},
}

func score(n int32) *int32 { return &n }

var perTopic = evaluation.OriginalAnswerShape{Records: []evaluation.OriginalRecord{{
	Order: 1, Content: "What is a map?", Comment: evaluation.OriginalComment{Score: score(70), Difficulty: "hard"},
	Message: []evaluation.OriginalMessage{{Order: 1, Question: "What is a map?", Answer: "A hash table"}},
}}}

func TestAnInterviewIsItsOwnersDialoguesInTheirOrder(t *testing.T) {
	t.Parallel()
	each(t, func(w *world) {
		w.record(42, 7, "completed", time.Hour)
		w.say(7, 42, " 什么是切片？ ", "它是底层数组的视图")
		w.say(8, 42, "somebody else's", "row")
		w.say(7, 41, "another interview's", "row")
		w.say(7, 42, "What is a map?", nil)
		w.say(7, 42, "", "quit")
		got, err := w.Interview(w.Context(), 7, 42)
		if err != nil {
			w.Fatal(err)
		}
		none := []evaluation.KeyPoint{}
		want := evaluation.Interview{UserID: 7, ReportID: 42, Title: "Acme · Backend · technical", Position: "Backend", Language: "zh", Answers: []evaluation.Answer{
			{DialogID: "1", Topic: "Go", Difficulty: 4, Question: "什么是切片？", Answer: "它是底层数组的视图", KeyPoints: none},
			{DialogID: "4", Topic: "Go", Difficulty: 4, Question: "What is a map?", KeyPoints: none},
			{DialogID: "5", Topic: "Go", Difficulty: 4, Question: "-", Answer: "quit", KeyPoints: none},
		}}
		if diff := cmp.Diff(want, got); diff != "" {
			w.Errorf("(-want +got):\n%s", diff)
		}
		if again, err := evaluation.ParseInterview(got.Canonical()); err != nil || again.Hash() != got.Hash() {
			w.Errorf("it is none that others take: %v", err)
		}
		if whoever, err := w.Interview(w.Context(), 0, 42); err != nil || whoever.Hash() != want.Hash() {
			w.Errorf("whoever owns it: %+v, %v", whoever, err)
		}
	})
}

func TestOwnershipAndExistenceAreTheRecords(t *testing.T) {
	t.Parallel()
	each(t, func(w *world) {
		w.record(42, 7, "completed", time.Hour)
		w.say(8, 42, "planted", "row")
		w.say(7, 43, "without", "record")
		_, err := w.Interview(w.Context(), 8, 42)
		if tasks.ClassOf(err) != tasks.ClassWrongUser {
			w.Errorf("another user: %v", err)
		}
		_, err = w.Interview(w.Context(), 7, 43)
		if tasks.ClassOf(err) != tasks.ClassInterviewMissing || !errors.Is(err, tasks.ErrNotFound) {
			w.Errorf("no record: %v", err)
		}
		for want, ids := range map[tasks.Class][2]int64{tasks.ClassWrongUser: {8, 42}, tasks.ClassInterviewMissing: {7, 43}} {
			if err := w.SaveReport(w.Context(), ids[0], ids[1], report); tasks.ClassOf(err) != want {
				w.Errorf("save the report of %v: %v", ids, err)
			}
			if err := w.SaveAnswers(w.Context(), ids[0], ids[1], perTopic); tasks.ClassOf(err) != want {
				w.Errorf("save the answers of %v: %v", ids, err)
			}
		}
		if n := w.text(`SELECT (SELECT count(*) FROM interview_evaluation) + (SELECT count(*) FROM answer_report)`); n != "0" {
			w.Errorf("%s rows were written", n)
		}
	})
}

func TestARecordWithoutDialoguesWaitsOnlyWhileItIsYoungAndPending(t *testing.T) {
	t.Parallel()
	each(t, func(w *world) {
		w.record(1, 7, "pending", time.Minute)
		w.record(2, 7, "pending", time.Hour)
		w.record(3, 7, "completed", time.Minute)
		w.record(4, 7, "pending", time.Minute)
		w.say(7, 4, "What is a map?", "A hash table")
		for id, answers := range map[int64]int{1: -1, 2: 0, 3: 0, 4: 1} {
			in, err := w.Interview(w.Context(), 7, id)
			if answers < 0 {
				if tasks.ClassOf(err) != tasks.ClassInterviewMissing {
					w.Errorf("record %d: %v", id, err)
				}
			} else if err != nil || len(in.Answers) != answers {
				w.Errorf("record %d: %d answers, %v", id, len(in.Answers), err)
			}
		}
	})
}

func TestAResultIsInsertedOnceAndThenUpdated(t *testing.T) {
	t.Parallel()
	each(t, func(w *world) {
		w.record(42, 7, "completed", time.Hour)
		if _, err := w.Report(w.Context(), 7, 42); !errors.Is(err, tasks.ErrNotFound) {
			w.Errorf("before: %v", err)
		}
		if _, err := w.Answers(w.Context(), 7, 42); !errors.Is(err, tasks.ErrNotFound) {
			w.Errorf("before: %v", err)
		}
		other := report
		other.Comment, other.Score = "first", 500
		for _, r := range []evaluation.OriginalReportShape{other, report} {
			if err := w.SaveReport(w.Context(), 7, 42, r); err != nil {
				w.Fatal(err)
			}
			if err := w.SaveAnswers(w.Context(), 7, 42, perTopic); err != nil {
				w.Fatal(err)
			}
		}
		got, err := w.Report(w.Context(), 7, 42)
		at := noon
		if w.text(`SELECT data_type FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'answer_report' AND column_name = 'updated_at'`) == "timestamp" {
			at = got.UpdatedAt // whole seconds
		}
		want := platform.Report{ID: 1, UserID: 7, ReportID: 42, Comment: report.Comment, Score: 82.75, CreatedAt: at, UpdatedAt: at,
			Dimensions: []byte(`[{"dimension_name":"完整性","evaluation":"fine","score":83},{"dimension_name":"accuracy","evaluation":"fine","score":82}]`)}
		if diff := cmp.Diff(want, got); diff != "" || err != nil || at.Sub(noon).Abs() > time.Second {
			w.Errorf("%v (-want +got):\n%s", err, diff)
		}
		answers, err := w.Answers(w.Context(), 7, 42)
		if err != nil || answers.ID != 1 || !strings.Contains(string(answers.Records), `"message":[{"order":1,"question":"What is a map?","answer":"A hash table"}]`) {
			w.Errorf("%v: %+v %s", err, answers, answers.Records)
		}
		if n := w.text(`SELECT concat((SELECT count(*) FROM interview_evaluation), ' ', (SELECT count(*) FROM answer_report))`); n != "1 1" {
			w.Errorf("rows: %s", n)
		}
	})
}

func TestAScoreIsAlwaysOneThatTheColumnTakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, byProgram)
	for i, given := range []float64{1e9, -3, 66.666666} {
		id := int64(i + 1)
		w.record(id, 7, "completed", time.Hour)
		r := evaluation.OriginalReportShape{Comment: strings.Repeat("长", 40_000), Score: given, Dimensions: []evaluation.OriginalDimension{{Score: 500}}}
		if err := w.SaveReport(w.Context(), 7, id, r); err != nil {
			t.Fatal(err)
		}
		got := w.text(`SELECT concat(score, ' ', json_value(dimensions, '$[0].score'), ' ', length(comment)) FROM interview_evaluation WHERE report_id = ?`, id)
		if want := []string{"100.00 100 65535", "0.00 100 65535", "66.67 100 65535"}[i]; got != want {
			t.Errorf("%v is stored as %s, want %s", given, got, want)
		}
	}
}

// Two rows from before: the platform reads the first, which is broken.
func TestTheRowThatIsReadIsTheRowThatIsMended(t *testing.T) {
	t.Parallel()
	each(t, func(w *world) {
		w.record(42, 7, "completed", time.Hour)
		w.exec(`INSERT INTO interview_evaluation (user_id, report_id, comment, score, dimensions, deleted) VALUES (7, 42, 'gone', 1, '[]', 1), (7, 42, '', 0, '[]', 0), (7, 42, 'newer', 60, '[{"score":60}]', 0)`)
		w.exec(`INSERT INTO answer_report (user_id, report_id, records, deleted) VALUES (7, 42, '[]', 0), (7, 42, '[{"order":1}]', 0)`)
		if got, err := w.Report(w.Context(), 7, 42); err != nil || got.ID != 2 || got.Comment != "" {
			w.Fatalf("before: %+v, %v", got, err)
		}
		if err := w.SaveReport(w.Context(), 7, 42, report); err != nil {
			w.Fatal(err)
		}
		if err := w.SaveAnswers(w.Context(), 7, 42, perTopic); err != nil {
			w.Fatal(err)
		}
		got := w.text(`SELECT group_concat(concat(id, ':', comment, ':', score) ORDER BY id SEPARATOR ';') FROM interview_evaluation`)
		if got != "1:gone:1.00;2:Good.\n不错:82.75;3:newer:60.00" {
			w.Errorf("the rows are %q", got)
		}
		got = w.text(`SELECT group_concat(concat(id, ':', json_length(records)) ORDER BY id) FROM answer_report WHERE records LIKE '%hash table%'`)
		if got != "1:1" || w.text(`SELECT count(*) FROM answer_report`) != "2" {
			w.Errorf("the rows are %q", got)
		}
	})
}

func TestWritersAtOnceMakeOneRow(t *testing.T) {
	t.Parallel()
	each(t, func(w *world) {
		other := w.open()
		for id := int64(1); id <= 10; id++ {
			w.record(id, 7, "completed", time.Hour)
			var writers sync.WaitGroup
			for i := range 8 {
				store := []*platform.Store{w.Store, other}[i%2]
				writers.Go(func() {
					if err := errors.Join(store.SaveReport(w.Context(), 7, id, report), store.SaveAnswers(w.Context(), 7, id, perTopic)); err != nil {
						w.Errorf("interview %d: %v", id, err)
					}
				})
			}
			writers.Wait()
		}
		if n := w.text(`SELECT concat((SELECT count(*) FROM interview_evaluation), ' ', (SELECT count(*) FROM answer_report))`); n != "10 10" {
			w.Errorf("10 interviews have so many rows: %s", n)
		}
	})
}

func TestWhatIsEmptyIsWrittenNowhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, byProgram)
	w.record(42, 7, "completed", time.Hour)
	w.record(43, 7, "completed", time.Hour)
	if err := errors.Join(w.SaveReport(t.Context(), 7, 42, report), w.SaveAnswers(t.Context(), 7, 42, perTopic)); err != nil {
		t.Fatal(err)
	}
	for _, id := range []int64{42, 43} {
		if err := w.SaveReport(t.Context(), 7, id, evaluation.OriginalReportShape{Comment: "prose"}); tasks.ClassOf(err) != tasks.ClassInvalidOutput {
			t.Errorf("a report without dimensions: %v", err)
		}
		if err := w.SaveAnswers(t.Context(), 7, id, evaluation.OriginalAnswerShape{}); tasks.ClassOf(err) != tasks.ClassInvalidOutput {
			t.Errorf("answers without records: %v", err)
		}
	}
	if got := w.text(`SELECT concat(group_concat(comment), ' ', count(*), ' ', (SELECT count(*) FROM answer_report)) FROM interview_evaluation`); got != report.Comment+" 1 1" {
		t.Errorf("the rows are %q", got)
	}
}

func TestAnInterviewBeyondTheBoundsIsTooLongForGood(t *testing.T) {
	t.Parallel()
	w := newWorld(t, byProgram)
	w.exec(`ALTER TABLE interview_dialogues MODIFY answer MEDIUMTEXT`)
	w.record(1, 7, "completed", time.Hour)
	w.say(7, 1, "What is a map?", strings.Repeat("x", evaluation.MaxText+1))
	w.record(2, 7, "completed", time.Hour)
	w.exec(`INSERT INTO interview_dialogues (user_id, report_id, question, answer) SELECT 7, 2, 'Q', 'A' FROM seq_1_to_501`)
	w.record(3, 7, "completed", time.Hour)
	for range 5 {
		w.say(7, 3, "What is a map?", strings.Repeat("x", evaluation.MaxText))
	}
	for id := int64(1); id <= 3; id++ {
		if _, err := w.Interview(t.Context(), 7, id); tasks.ClassOf(err) != tasks.ClassContextTooLong || strings.Contains(err.Error(), "xxx") {
			t.Errorf("interview %d: %.300v", id, err)
		}
	}
}

func TestADatabaseThatLacksSomethingIsRefusedAndSaysWhat(t *testing.T) {
	t.Parallel()
	url := sqltest.MariaDB(t)
	db := raw(t, url)
	try := func(want ...string) {
		t.Helper()
		s, err := platform.Open(t.Context(), url, nil)
		if err == nil {
			s.Close()
			t.Fatalf("it was opened, without %q", want)
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%v, want it to say %q", err, w)
			}
		}
	}
	run := func(query string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	try("table interview_record, table interview_dialogues, table interview_evaluation, table answer_report")
	for _, s := range byProgram {
		run(s)
	}
	run(`ALTER TABLE answer_report DROP COLUMN records`)
	run(`ALTER TABLE interview_record DROP COLUMN status, DROP COLUMN domain`)
	try("column interview_record.domain", "column interview_record.status", "column answer_report.records")
	run(`ALTER TABLE answer_report ADD COLUMN records JSON, ADD COLUMN tenant INT NOT NULL`)
	run(`ALTER TABLE interview_record ADD COLUMN status VARCHAR(9), ADD COLUMN domain VARCHAR(9)`)
	try("column answer_report.tenant is NOT NULL and has no default")
	run(`ALTER TABLE answer_report MODIFY tenant INT NOT NULL DEFAULT 0, MODIFY id BIGINT NOT NULL`)
	try("answer_report.id has no AUTO_INCREMENT")
}

func TestNoErrorHasThePasswordInIt(t *testing.T) {
	t.Parallel()
	url := sqltest.MariaDB(t)
	conf, err := mysqlurl.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range []string{
		"mysql://evalq:s3cret@127.0.0.1:1/x", "mysql://u:s3cret@", "mysql://u:s3cret@h/db?timeout=s3cret", "postgres://u:s3cret@h/db", "mysql://u:s3cret@[bad/db",
		fmt.Sprintf("mysql://nobody:s3cret@%s/%s", conf.Addr, conf.DBName), strings.Replace(url, conf.Passwd, "s3cret", 1),
	} {
		if _, err := platform.Open(t.Context(), u, nil); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", u, err)
		}
	}
	for _, c := range []*platform.Config{{Conns: -1}, {PendingFor: -1}} {
		if _, err := platform.Open(t.Context(), url, c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

// What the server says about a value quotes it; the error does not.
func TestAValueThatTheServerRefusesIsNotInTheError(t *testing.T) {
	t.Parallel()
	w := newWorld(t, byProgram)
	w.exec(`ALTER TABLE interview_evaluation MODIFY comment TEXT CHARACTER SET latin1`)
	w.record(42, 7, "completed", time.Hour)
	r := report
	r.Comment = "不 secret words"
	err := w.SaveReport(t.Context(), 7, 42, r)
	if tasks.ClassOf(err) != tasks.ClassInternal || strings.ContainsAny(err.Error(), "不'") || !strings.Contains(err.Error(), "1366") {
		t.Errorf("got %v", err)
	}
}

func TestContextsAreHonoured(t *testing.T) {
	t.Parallel()
	w := newWorld(t, byProgram)
	w.record(42, 7, "completed", time.Hour)
	tx, err := w.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(t.Context(), `UPDATE interview_record SET user_id = 7, duration = 1 WHERE id = 42`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	err = w.SaveReport(ctx, 7, 42, report)
	if tasks.ClassOf(err) != tasks.ClassStorage || !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 20*time.Second {
		t.Errorf("after %s: %v", time.Since(begin), err)
	}
	gone, stop := context.WithCancel(t.Context())
	stop()
	if _, err := w.Interview(gone, 7, 42); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
