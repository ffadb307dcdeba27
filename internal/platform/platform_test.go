package platform_test

import (
	"context"
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
	"evalq/internal/platform/platformtest"
	"evalq/internal/sqltest"
	"evalq/tasks"
)

func TestMain(m *testing.M) { sqltest.Main(m) }

// world is a platform's database and an open store on it.
type world struct {
	*testing.T
	*platform.Store
	*platformtest.Platform
}

// noon is when the store of a test writes.
var (
	noon = time.Date(2026, 3, 1, 12, 0, 0, 345e6, time.UTC)
	long = noon.Add(-time.Hour)
)

func newWorld(t *testing.T, tables []string) *world {
	t.Helper()
	w := &world{T: t, Platform: platformtest.New(t, sqltest.MariaDB(t)+"?loc=UTC", tables)}
	w.Store = w.open()
	return w
}

func (w *world) open() *platform.Store {
	w.Helper()
	s, err := platform.Open(w.Context(), w.URL, &platform.Config{Now: func() time.Time { return noon }})
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

// each runs a test on each form of the platform's tables.
func each(t *testing.T, test func(w *world)) {
	for name, tables := range platformtest.Variants {
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
		w.Record(42, 7, "completed", long)
		w.Say(7, 42, " 什么是切片？ ", "它是底层数组的视图")
		w.Say(8, 42, "somebody else's", "row")
		w.Say(7, 41, "another interview's", "row")
		w.Say(7, 42, "What is a map?", nil)
		w.Say(7, 42, "", "quit")
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
		w.Record(42, 7, "completed", long)
		w.Say(8, 42, "planted", "row")
		w.Say(7, 43, "without", "record")
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
		if n := w.Text(`SELECT (SELECT count(*) FROM interview_evaluation) + (SELECT count(*) FROM answer_report)`); n != "0" {
			w.Errorf("%s rows were written", n)
		}
	})
}

func TestARecordWithoutDialoguesWaitsOnlyWhileItIsYoungAndPending(t *testing.T) {
	t.Parallel()
	each(t, func(w *world) {
		w.Record(1, 7, "pending", noon.Add(-time.Minute))
		w.Record(2, 7, "pending", long)
		w.Record(3, 7, "completed", noon.Add(-time.Minute))
		w.Record(4, 7, "pending", noon.Add(-time.Minute))
		w.Say(7, 4, "What is a map?", "A hash table")
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
		w.Record(42, 7, "completed", long)
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
		if w.Text(`SELECT data_type FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'answer_report' AND column_name = 'updated_at'`) == "timestamp" {
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
		if n := w.Text(`SELECT concat((SELECT count(*) FROM interview_evaluation), ' ', (SELECT count(*) FROM answer_report))`); n != "1 1" {
			w.Errorf("rows: %s", n)
		}
	})
}

func TestAScoreIsAlwaysOneThatTheColumnTakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, platformtest.ByProgram)
	for i, given := range []float64{1e9, -3, 66.666666} {
		id := int64(i + 1)
		w.Record(id, 7, "completed", long)
		r := evaluation.OriginalReportShape{Comment: strings.Repeat("长", 40_000), Score: given, Dimensions: []evaluation.OriginalDimension{{Score: 500}}}
		if err := w.SaveReport(w.Context(), 7, id, r); err != nil {
			t.Fatal(err)
		}
		got := w.Text(`SELECT concat(score, ' ', json_value(dimensions, '$[0].score'), ' ', length(comment)) FROM interview_evaluation WHERE report_id = ?`, id)
		if want := []string{"100.00 100 65535", "0.00 100 65535", "66.67 100 65535"}[i]; got != want {
			t.Errorf("%v is stored as %s, want %s", given, got, want)
		}
	}
}

// Two rows from before: the platform reads the first, which is broken.
func TestTheRowThatIsReadIsTheRowThatIsMended(t *testing.T) {
	t.Parallel()
	each(t, func(w *world) {
		w.Record(42, 7, "completed", long)
		w.Exec(`INSERT INTO interview_evaluation (user_id, report_id, comment, score, dimensions, deleted) VALUES (7, 42, 'gone', 1, '[]', 1), (7, 42, '', 0, '[]', 0), (7, 42, 'newer', 60, '[{"score":60}]', 0)`)
		w.Exec(`INSERT INTO answer_report (user_id, report_id, records, deleted) VALUES (7, 42, '[]', 0), (7, 42, '[{"order":1}]', 0)`)
		if got, err := w.Report(w.Context(), 7, 42); err != nil || got.ID != 2 || got.Comment != "" {
			w.Fatalf("before: %+v, %v", got, err)
		}
		if err := w.SaveReport(w.Context(), 7, 42, report); err != nil {
			w.Fatal(err)
		}
		if err := w.SaveAnswers(w.Context(), 7, 42, perTopic); err != nil {
			w.Fatal(err)
		}
		got := w.Text(`SELECT group_concat(concat(id, ':', comment, ':', score) ORDER BY id SEPARATOR ';') FROM interview_evaluation`)
		if got != "1:gone:1.00;2:Good.\n不错:82.75;3:newer:60.00" {
			w.Errorf("the rows are %q", got)
		}
		got = w.Text(`SELECT group_concat(concat(id, ':', json_length(records)) ORDER BY id) FROM answer_report WHERE records LIKE '%hash table%'`)
		if got != "1:1" || w.Text(`SELECT count(*) FROM answer_report`) != "2" {
			w.Errorf("the rows are %q", got)
		}
	})
}

func TestWritersAtOnceMakeOneRow(t *testing.T) {
	t.Parallel()
	each(t, func(w *world) {
		other := w.open()
		for id := int64(1); id <= 10; id++ {
			w.Record(id, 7, "completed", long)
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
		if n := w.Text(`SELECT concat((SELECT count(*) FROM interview_evaluation), ' ', (SELECT count(*) FROM answer_report))`); n != "10 10" {
			w.Errorf("10 interviews have so many rows: %s", n)
		}
	})
}

func TestWhatIsEmptyIsWrittenNowhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, platformtest.ByProgram)
	w.Record(42, 7, "completed", long)
	w.Record(43, 7, "completed", long)
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
	if got := w.Text(`SELECT concat(group_concat(comment), ' ', count(*), ' ', (SELECT count(*) FROM answer_report)) FROM interview_evaluation`); got != report.Comment+" 1 1" {
		t.Errorf("the rows are %q", got)
	}
}

func TestAnInterviewBeyondTheBoundsIsTooLongForGood(t *testing.T) {
	t.Parallel()
	w := newWorld(t, platformtest.ByProgram)
	w.Exec(`ALTER TABLE interview_dialogues MODIFY answer MEDIUMTEXT`)
	w.Record(1, 7, "completed", long)
	w.Say(7, 1, "What is a map?", strings.Repeat("x", evaluation.MaxText+1))
	w.Record(2, 7, "completed", long)
	w.Exec(`INSERT INTO interview_dialogues (user_id, report_id, question, answer) SELECT 7, 2, 'Q', 'A' FROM seq_1_to_501`)
	w.Record(3, 7, "completed", long)
	for range 5 {
		w.Say(7, 3, "What is a map?", strings.Repeat("x", evaluation.MaxText))
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
	db := platformtest.New(t, url, nil)
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
	try("table interview_record, table interview_dialogues, table interview_evaluation, table answer_report")
	for _, s := range platformtest.ByProgram {
		db.Exec(s)
	}
	db.Exec(`ALTER TABLE answer_report DROP COLUMN records`)
	db.Exec(`ALTER TABLE interview_record DROP COLUMN status, DROP COLUMN domain`)
	try("column interview_record.domain", "column interview_record.status", "column answer_report.records")
	db.Exec(`ALTER TABLE answer_report ADD COLUMN records JSON, ADD COLUMN tenant INT NOT NULL`)
	db.Exec(`ALTER TABLE interview_record ADD COLUMN status VARCHAR(9), ADD COLUMN domain VARCHAR(9)`)
	try("column answer_report.tenant is NOT NULL and has no default")
	db.Exec(`ALTER TABLE answer_report MODIFY tenant INT NOT NULL DEFAULT 0, MODIFY id BIGINT NOT NULL`)
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
	w := newWorld(t, platformtest.ByProgram)
	w.Exec(`ALTER TABLE interview_evaluation MODIFY comment TEXT CHARACTER SET latin1`)
	w.Record(42, 7, "completed", long)
	r := report
	r.Comment = "不 secret words"
	err := w.SaveReport(t.Context(), 7, 42, r)
	if tasks.ClassOf(err) != tasks.ClassInternal || strings.ContainsAny(err.Error(), "不'") || !strings.Contains(err.Error(), "1366") {
		t.Errorf("got %v", err)
	}
}

func TestContextsAreHonoured(t *testing.T) {
	t.Parallel()
	w := newWorld(t, platformtest.ByProgram)
	w.Record(42, 7, "completed", long)
	tx, err := w.DB.BeginTx(t.Context(), nil)
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

func TestRightsThatAreMissingAreToldAtTheStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, platformtest.ByProgram)
	w.Record(42, 7, "completed", long)
	conf, err := mysqlurl.Parse(w.URL)
	if err != nil {
		t.Fatal(err)
	}
	user := "rights_" + conf.DBName
	w.Exec("CREATE USER " + user + "@'%' IDENTIFIED BY 's3cret'")
	defer w.Exec("DROP USER " + user + "@'%'")
	url := fmt.Sprintf("mysql://%s:s3cret@%s/%s", user, conf.Addr, conf.DBName)
	grant := func(what string) {
		w.Exec("GRANT " + strings.ReplaceAll(what, "ON ", "ON "+conf.DBName+".") + " TO " + user + "@'%'")
	}
	try := func() error {
		s, err := platform.Open(t.Context(), url, nil)
		if err == nil {
			err = errors.Join(s.SaveReport(t.Context(), 7, 42, report), s.SaveAnswers(t.Context(), 7, 42, perTopic), s.SaveReport(t.Context(), 7, 42, report), s.Close())
		}
		return err
	}
	for _, step := range []string{
		"SELECT ON interview_record", "UPDATE ON interview_record", "SELECT ON interview_dialogues", "SELECT ON interview_evaluation",
		"SELECT ON answer_report", "INSERT ON interview_evaluation", "UPDATE ON interview_evaluation", "INSERT ON answer_report", "UPDATE ON answer_report",
	} {
		if err := try(); err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "platform: ") {
			t.Errorf("before %s: %v", step, err)
		}
		grant(step)
	}
	if err := try(); err != nil {
		t.Errorf("with all rights: %v", err)
	}
}

func TestTimesAreInTheZoneOfThePlatformsDriver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, platformtest.ByProgram)
	w.Record(42, 7, "completed", long)
	s, err := platform.Open(t.Context(), strings.Replace(w.URL, "loc=UTC", "loc=Asia%2FShanghai", 1), &platform.Config{Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.SaveReport(t.Context(), 7, 42, report); err != nil {
		t.Fatal(err)
	}
	if at := w.Text(`SELECT CAST(updated_at AS CHAR) FROM interview_evaluation`); at != "2026-03-01 20:00:00.345" {
		t.Errorf("the row has %s", at)
	}
	if got, err := s.Report(t.Context(), 7, 42); err != nil || !got.UpdatedAt.Equal(noon) {
		t.Errorf("read back as %s, %v", got.UpdatedAt, err)
	}
}
