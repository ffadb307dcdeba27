package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"evalq/internal/config"
	"evalq/internal/evaluation"
	"evalq/internal/platform/platformtest"
	"evalq/internal/sandbox"
	"evalq/internal/sqltest"
	"evalq/tasks"
)

// paid is a judge that needs no key points and counts what it is asked. Each of
// its answers is half of the full score, unless said changes that.
type paid struct {
	asked atomic.Int64
	said  func(e *evaluation.AnswerEvaluation)
}

func (j *paid) Identity() evaluation.Identity {
	return evaluation.Identity{Evaluator: "paid", Version: "1"}
}

func (j *paid) Judge(_ context.Context, in evaluation.Input) (evaluation.AnswerEvaluation, error) {
	j.asked.Add(1)
	e := evaluation.Begin(j.Identity(), in)
	for i := range e.Dimensions {
		e.Dimensions[i].Assessed, e.Dimensions[i].Score = true, 2
	}
	e.Confidence = 1
	if j.said != nil {
		j.said(&e)
	}
	return e, nil
}

// onPlatform is an app on a platform's database.
func onPlatform(t *testing.T, tables []string, x Extras, change func(*config.Config)) (*App, *platformtest.Platform) {
	t.Helper()
	p := platformtest.New(t, sqltest.MariaDB(t), tables)
	return start(t, settings(t, func(c *config.Config) {
		c.PlatformDB = p.URL
		if change != nil {
			change(c)
		}
	}), x), p
}

func ask(kind tasks.Kind, user, report int64) string {
	return fmt.Sprintf(`{"kind":%q,"user_id":%d,"report_id":%d}`, kind, user, report)
}

const rowsOf = `SELECT concat((SELECT count(*) FROM interview_evaluation), ' ', (SELECT count(*) FROM answer_report))`

func TestThePlatformsInterviewBecomesThePlatformsRows(t *testing.T) {
	t.Parallel()
	for name, tables := range platformtest.Variants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			judge := &paid{}
			a, p := onPlatform(t, tables, Extras{Judge: judge}, nil)
			p.Record(42, 7, "completed", time.Now())
			p.Say(7, 42, "什么是切片？", "底层数组的视图")
			p.Say(7, 42, "什么是映射？", "哈希表")
			ids := map[tasks.Kind]string{}
			for range 2 { // twice, as a message that comes again
				for _, kind := range tasks.Kinds() {
					status, job := call(t, "POST", a.URL()+"/v1/evaluations", ask(kind, 7, 42))
					if id, had := ids[kind]; had && (id != job["id"] || status != 200) {
						t.Fatalf("asked again: %d %v", status, job)
					}
					ids[kind] = job["id"].(string)
					await(t, a, ids[kind], state("succeeded"))
				}
			}
			if n := p.Text(rowsOf); n != "1 1" || judge.asked.Load() != 2 {
				t.Fatalf("rows %s, %d calls", n, judge.asked.Load())
			}
			if got := p.Text(`SELECT concat(user_id, ' ', report_id, ' ', score, ' ', json_length(dimensions), ' ', json_value(dimensions, '$[0].score')) FROM interview_evaluation`); got != "7 42 50.00 4 50" {
				t.Errorf("the report's row is %s", got)
			}
			if got := p.Text(`SELECT json_extract(records, '$[1].message') FROM answer_report`); !strings.Contains(got, "什么是映射？") || !strings.Contains(got, "哈希表") {
				t.Errorf("the answers' row has %s", got)
			}
			if _, doc := call(t, "GET", a.URL()+"/v1/interviews/42", ""); doc["title"] != "Acme · Backend · technical" || len(doc["answers"].([]any)) != 2 {
				t.Errorf("the ledger has %v", doc)
			}
			// What changes on the platform is the next revision, in the same row.
			p.Exec(`UPDATE interview_dialogues SET answer = '键到值的哈希表' WHERE answer = '哈希表'`)
			next := submit(t, a, ask(tasks.KindTopicEvaluation, 7, 42), 202)
			if job := await(t, a, next, state("succeeded")); job["revision"] != json.Number("2") || judge.asked.Load() != 3 {
				t.Errorf("after a change: %v, %d calls", job, judge.asked.Load())
			}
			if got := p.Text(`SELECT concat(count(*), group_concat(records)) FROM answer_report`); !strings.HasPrefix(got, "1[") || !strings.Contains(got, "键到值的哈希表") {
				t.Errorf("the answers' row has %s", got)
			}
		})
	}
}

func TestKeyPointsThatSomebodyAddedSurviveTheMirror(t *testing.T) {
	t.Parallel()
	a, p := onPlatform(t, platformtest.ByProgram, Extras{}, nil) // the offline judge
	p.Record(42, 7, "completed", time.Now())
	p.Say(7, 42, "What is a slice in Go?", "A slice is a view of an underlying array with a length and a capacity")
	id := submit(t, a, ask(tasks.KindEvaluationReport, 7, 42), 202)
	if job := await(t, a, id, state("dead")); job["error"].(map[string]any)["class"] != "not_assessable" {
		t.Fatalf("without key points: %v", job)
	}
	_, doc := call(t, "GET", a.URL()+"/v1/interviews/42", "")
	answer := doc["answers"].([]any)[0].(map[string]any)
	answer["key_points"] = []map[string]string{{"text": "view of an underlying array"}, {"text": "length and capacity"}}
	answer["topic"], doc["title"] = "Slices", "Second round"
	body, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	if status, got := call(t, "PUT", a.URL()+"/v1/interviews/42", string(body)); status != 200 {
		t.Fatalf("put: %d %v", status, got)
	}
	call(t, "POST", a.URL()+"/v1/evaluations/"+id+"/retry", "")
	await(t, a, id, state("succeeded"))
	p.Exec(`UPDATE interview_dialogues SET answer = concat(answer, '.')`)
	p.Say(7, 42, "Anything else?", "")
	await(t, a, submit(t, a, ask(tasks.KindEvaluationReport, 7, 42), 202), state("succeeded"))
	_, doc = call(t, "GET", a.URL()+"/v1/interviews/42", "")
	answers := doc["answers"].([]any)
	answer = answers[0].(map[string]any)
	if len(answers) != 2 || len(answer["key_points"].([]any)) != 2 || answer["topic"] != "Slices" || doc["title"] != "Second round" || !strings.HasSuffix(answer["answer"].(string), ".") {
		t.Errorf("the mirror is %v", doc)
	}
	if n := p.Text(rowsOf); n != "1 0" {
		t.Errorf("rows: %s", n)
	}
}

func TestAJobWaitsForThePlatformsInterviewAndSomebodyElsesIsNotEvaluated(t *testing.T) {
	t.Parallel()
	judge := &paid{}
	a, p := onPlatform(t, platformtest.ByProgram, Extras{Judge: judge}, nil)
	id := submit(t, a, ask(tasks.KindEvaluationReport, 7, 42), 202)
	wrong := submit(t, a, ask(tasks.KindEvaluationReport, 8, 42), 202)
	early := submit(t, a, ask(tasks.KindEvaluationReport, 7, 43), 202)
	empty := submit(t, a, ask(tasks.KindEvaluationReport, 7, 44), 202)
	for _, id := range []string{id, wrong, early, empty} {
		if job := await(t, a, id, state("held")); job["hold"] != "interview missing" {
			t.Fatalf("held as %v", job)
		}
	}
	p.Record(43, 7, "pending", time.Now()) // under way
	p.Record(44, 7, "completed", time.Now())
	p.Record(42, 7, "pending", time.Now())
	p.Say(7, 42, "What is a map?", "A hash table")
	await(t, a, id, state("succeeded"))
	if job := await(t, a, wrong, state("dead")); job["error"].(map[string]any)["class"] != "wrong_user" {
		t.Errorf("another user's: %v", job)
	}
	if job := await(t, a, empty, state("skipped")); job["skipped"] != "empty" {
		t.Errorf("without a dialogue: %v", job)
	}
	if _, job := call(t, "GET", a.URL()+"/v1/evaluations/"+early, ""); job["state"] != "held" {
		t.Errorf("under way: %v", job)
	}
	if n := p.Text(rowsOf); n != "1 0" || judge.asked.Load() != 1 {
		t.Errorf("rows %s, %d calls", n, judge.asked.Load())
	}
}

func TestAnInterviewThatOnlyTheLedgerHasIsEvaluatedAndStaysThere(t *testing.T) {
	t.Parallel()
	a, p := onPlatform(t, platformtest.ByProgram, Extras{}, nil)
	call(t, "PUT", a.URL()+"/v1/interviews/42", slice)
	await(t, a, submit(t, a, ask(tasks.KindEvaluationReport, 7, 42), 202), state("succeeded"))
	await(t, a, submit(t, a, ask(tasks.KindTopicEvaluation, 7, 42), 202), state("succeeded"))
	if n := p.Text(rowsOf); n != "0 0" {
		t.Errorf("rows: %s", n)
	}
}

// The defect: the result of a paid call is lost, because the database was away
// when it was to be stored.
func TestAResultThatThePlatformCouldNotTakeIsWrittenLaterWithoutAnotherCall(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	db, err := sandbox.StartMariaDB(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	p := platformtest.New(t, db.URL(), platformtest.ByProgram)
	p.Record(42, 7, "completed", time.Now())
	p.Say(7, 42, "What is a map?", "A hash table")
	judge := &paid{said: func(*evaluation.AnswerEvaluation) {
		if err := db.Kill(); err != nil {
			t.Error(err)
		}
	}}
	a := start(t, settings(t, func(c *config.Config) { c.PlatformDB = db.URL() }), Extras{Judge: judge})
	id := submit(t, a, ask(tasks.KindEvaluationReport, 7, 42), 202)
	job := await(t, a, id, state("retrying"))
	if e := job["error"].(map[string]any); e["class"] != "storage" || job["charged"] != json.Number("0") || job["result"] != nil {
		t.Fatalf("while the platform is away: %v", job)
	}
	if err := db.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	await(t, a, id, state("succeeded"))
	if n := p.Text(rowsOf); n != "1 0" || judge.asked.Load() != 1 {
		t.Errorf("rows %s, %d calls", n, judge.asked.Load())
	}
	// A submission does not wait long for a platform that is away.
	if err := db.Kill(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if again := submit(t, a, ask(tasks.KindEvaluationReport, 7, 42), 200); again != id || time.Since(begin) > 10*refreshWithin {
		t.Errorf("asked again: %s after %s", again, time.Since(begin))
	}
}

// The defect: what a model says goes into the row as it is, or ends the server.
func TestWhateverAJudgeSaysTheRowIsOneThatThePlatformCanRead(t *testing.T) {
	t.Parallel()
	for name, said := range map[string]func(*evaluation.AnswerEvaluation){
		"scores beyond the scale": func(e *evaluation.AnswerEvaluation) {
			for i := range e.Dimensions {
				e.Dimensions[i].Score = 500
			}
		},
		"fractions": func(e *evaluation.AnswerEvaluation) {
			for i := range e.Dimensions {
				e.Dimensions[i].Score = 3.42
			}
		},
		"scores below the scale": func(e *evaluation.AnswerEvaluation) {
			for i := range e.Dimensions {
				e.Dimensions[i].Score = -500
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, p := onPlatform(t, platformtest.ByScript, Extras{Judge: &paid{said: said}}, nil)
			p.Record(42, 7, "completed", time.Now())
			p.Say(7, 42, "What is a map?", "A hash table")
			await(t, a, submit(t, a, ask(tasks.KindEvaluationReport, 7, 42), 202), state("succeeded"))
			want := map[string]string{"scores beyond the scale": "100.00 100", "fractions": "86.00 86", "scores below the scale": "0.00 0"}[name]
			if got := p.Text(`SELECT concat(score, ' ', json_value(dimensions, '$[0].score')) FROM interview_evaluation`); got != want {
				t.Errorf("the row has %s, want %s", got, want)
			}
		})
	}
	t.Run("nothing", func(t *testing.T) {
		t.Parallel()
		a, p := onPlatform(t, platformtest.ByScript, Extras{Judge: &paid{said: func(e *evaluation.AnswerEvaluation) { e.Dimensions = nil }}}, nil)
		p.Record(42, 7, "completed", time.Now())
		p.Say(7, 42, "What is a map?", "A hash table")
		id := submit(t, a, ask(tasks.KindEvaluationReport, 7, 42), 202)
		job := await(t, a, id, func(job map[string]any) bool { return job["state"] == "retrying" || job["state"] == "dead" })
		if n := p.Text(rowsOf); n != "0 0" {
			t.Errorf("the job is %v, the rows %s", job, n)
		}
	})
}

func TestAnAttemptThatWasGivenUpWritesNothing(t *testing.T) {
	t.Parallel()
	writes := make(chan int, 10)
	var a *App
	begun := make(chan struct{})
	a = start(t, settings(t, nil), only(func(ctx context.Context, job tasks.Job) (json.RawMessage, error) {
		<-begun
		if job.Attempt == 1 {
			tries, err := a.ledger.Attempts(ctx, job.ID)
			if err != nil {
				return nil, err
			}
			// As the ledger does with a worker that shows no sign of life.
			if err := a.ledger.Leave(ctx, tries[0].Worker); err != nil {
				return nil, err
			}
		}
		ctx = withWork(ctx, job)
		err := deliver(ctx, func(context.Context) error { writes <- job.Attempt; return nil })
		return json.RawMessage(`{}`), err
	}))
	close(begun)
	id := submit(t, a, ask(tasks.KindEvaluationReport, 7, 42), 202)
	await(t, a, id, state("succeeded"))
	close(writes)
	for n := range writes {
		if n == 1 {
			t.Error("the attempt that was given up has written")
		}
	}
}

func TestAPlatformsOwnHandlerIsLeftAlone(t *testing.T) {
	t.Parallel()
	a, p := onPlatform(t, platformtest.ByProgram, only(func(context.Context, tasks.Job) (json.RawMessage, error) {
		return json.RawMessage(`{"own":true}`), nil
	}), nil)
	p.Record(42, 7, "completed", time.Now())
	p.Say(7, 42, "What is a map?", "A hash table")
	id := submit(t, a, ask(tasks.KindEvaluationReport, 7, 42), 202)
	job := await(t, a, id, state("succeeded"))
	if n := p.Text(rowsOf); n != "0 0" || job["result"].(map[string]any)["own"] != true {
		t.Errorf("rows %s, result %v", n, job["result"])
	}
	if again := submit(t, a, ask(tasks.KindEvaluationReport, 7, 42), 200); again != id {
		t.Errorf("asked again: %s", again)
	}
}

func TestAnInterviewOfThePlatformIsShownBeforeAndAfterItIsEvaluated(t *testing.T) {
	t.Parallel()
	a, p := onPlatform(t, platformtest.ByProgram, only(func(context.Context, tasks.Job) (json.RawMessage, error) {
		return json.RawMessage(`{"own":true}`), nil
	}), nil)
	p.Record(42, 7, "completed", time.Now())
	p.Say(7, 42, "What is a map?", "A hash table")
	shown := func(want string) {
		t.Helper()
		status, in := call(t, "GET", a.URL()+"/v1/interviews/42", "")
		if text := fmt.Sprint(in); status != 200 || !strings.Contains(text, want) {
			t.Errorf("%d %s, want %q", status, text, want)
		}
		resp, err := http.Get(a.URL() + "/interviews/42")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		page, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 200 || !strings.Contains(string(page), want) || strings.Contains(string(page), "There is no interview") {
			t.Errorf("the page: %d, want %q", resp.StatusCode, want)
		}
	}
	shown("A hash table")
	await(t, a, submit(t, a, ask(tasks.KindEvaluationReport, 7, 42), 202), state("succeeded"))
	p.Exec(`UPDATE interview_dialogues SET answer = 'Buckets and keys'`)
	shown("Buckets and keys")
	if status, _ := call(t, "GET", a.URL()+"/v1/interviews/43", ""); status != 404 {
		t.Errorf("one that is nowhere: %d", status)
	}
}

func TestAPlatformThatIsNoneEndsTheStart(t *testing.T) {
	t.Parallel()
	url := sqltest.MariaDB(t)
	for _, u := range []string{url, "mysql://eva:s3cret@127.0.0.1:1/platform"} {
		a, err := Open(t.Context(), settings(t, func(c *config.Config) { c.PlatformDB = u }), Extras{}, quiet())
		if err == nil {
			a.Close()
			t.Fatal("it was opened")
		}
		if strings.Contains(err.Error(), "s3cret") || u == url && !strings.Contains(err.Error(), "table interview_record") {
			t.Errorf("got %v", err)
		}
	}
}
