package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"evalq/client"
	"evalq/internal/app"
	"evalq/internal/config"
	"evalq/tasks"
	"evalq/worker"
)

// world is a whole server of the test's own, reached over HTTP.
type world struct {
	url     string
	environ []string
}

func start(t *testing.T, change ...func(*config.Config)) world {
	t.Helper()
	cfg := config.Config{
		Listen: "127.0.0.1:0", DataDir: t.TempDir(), Engine: config.EngineEmbedded, Concurrency: 2,
		InterviewWait: time.Hour, KindWait: time.Hour, Retention: time.Hour, ShutdownTimeout: 3 * time.Minute, Roles: []string{"all"},
	}
	for _, c := range change {
		c(&cfg)
	}
	a, err := app.Open(t.Context(), cfg, app.Extras{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, a.Close()); err != nil {
			t.Error(err)
		}
	})
	return world{a.URL(), []string{"EVALQ_URL=" + a.URL()}}
}

// ended is how a run of the program went.
type ended struct {
	code     int
	out, err string
}

func run(t *testing.T, environ []string, in string, args ...string) ended {
	t.Helper()
	var out, errOut bytes.Buffer
	p := &program{in: strings.NewReader(in), out: &out, errOut: &errOut, environ: append([]string{"HOME=" + t.TempDir()}, environ...)}
	code := p.run(t.Context(), args)
	return ended{code, out.String(), errOut.String()}
}

func (w world) run(t *testing.T, args ...string) ended {
	t.Helper()
	return run(t, w.environ, "", args...)
}

func (e ended) want(t *testing.T, code int, says ...string) ended {
	t.Helper()
	if e.code != code {
		t.Fatalf("exit code %d, want %d\n%s%s", e.code, code, e.out, e.err)
	}
	for _, s := range says {
		if !strings.Contains(e.out+e.err, s) {
			t.Errorf("it does not say %q:\n%s%s", s, e.out, e.err)
		}
	}
	return e
}

func (e ended) decode(t *testing.T, into any) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(e.out))
	if err := dec.Decode(into); err != nil || dec.More() {
		t.Fatalf("not one JSON value: %v\n%s", err, e.out)
	}
}

func (e ended) job(t *testing.T) tasks.Job {
	t.Helper()
	var j tasks.Job
	e.decode(t, &j)
	return j
}

func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// interview has one answer; without a point there is nothing to measure it by.
func interview(user, report int64, point string) string {
	points := ""
	if point != "" {
		points = fmt.Sprintf(`,"key_points":[{"text":%q}]`, point)
	}
	return fmt.Sprintf(`{"user_id":%d,"report_id":%d,"title":"Go","language":"en","answers":[{"question":"What is a slice?","answer":"a view of an array with a length and a capacity"%s}]}`, user, report, points)
}

const far = "2100-01-01T00:00:00Z" // a job that waits for as long as a test needs

func TestEachVerbHasAnExampleAndTheHelpListsTheExitCodes(t *testing.T) {
	t.Parallel()
	root := (&program{}).root()
	var names []string
	for _, c := range root.Commands() {
		names = append(names, c.Name())
		if c.Name() != "bench" && (c.Example == "" || c.Short == "" || c.RunE == nil) {
			t.Errorf("%s has no example", c.Name())
		}
	}
	if got := strings.Join(names, " "); got != "backfill backup bench cancel chaos demo doctor erase export get import list purge quarantine restore retry serve submit version" {
		t.Errorf("verbs: %s", got)
	}
	help := run(t, nil, "", "--help").want(t, 0).out
	for _, e := range exits {
		if !strings.Contains(help, fmt.Sprintf("  %-3d %s", e.code, e.meaning)) {
			t.Errorf("%d is not in the help:\n%s", e.code, help)
		}
	}
}

func TestAnErrorHasItsExitCodeFromOneTable(t *testing.T) {
	t.Parallel()
	for code, err := range map[int]error{
		0: nil, 1: errors.New("x"), 2: &tasks.InvalidError{Err: errors.New("x")}, 3: tasks.ErrNotFound, 4: tasks.ErrConflict,
		5: tasks.ErrUnavailable, 6: client.ErrUnauthorized, 7: errNotSucceeded, 8: errWarned, 70: worker.ErrStuck,
	} {
		var out bytes.Buffer
		p := &program{errOut: &out}
		if err != nil {
			err = fmt.Errorf("doing: %w", err)
		}
		if got := p.end(err); got != code || (err != nil) != strings.Contains(out.String(), "evalq: doing") {
			t.Errorf("%v: code %d, want %d; said %q", err, got, code, out.String())
		}
	}
}

func TestAWrongCommandLineIsBadInput(t *testing.T) {
	t.Parallel()
	lines := file(t, "r.ndjson", "{\"kind\":\"evaluation_report\",\"user_id\":1,\"report_id\":2}\n{\"kind\":\"x\",\"user_id\":1.5,\"report_id\":2}\n\n{\"knd\":1}\n")
	for says, args := range map[string][]string{
		`unknown command "sbumit"`:  {"sbumit"},
		"unknown flag":              {"list", "--colour"},
		"`evalq list --help`":       {"list", "--colours"},
		"accepts 1 arg":             {"get"},
		"requires at least 1 arg":   {"retry"},
		"name what to submit":       {"submit"},
		"--user: missing":           {"submit", "evaluation_report", "--report", "1"},
		"--report: must be":         {"submit", "evaluation_report", "--user", "1", "--report", "1.5"},
		"--user: must be a whole":   {"submit", "evaluation_report", "--user", "0", "--report", "1"},
		"9223372036854775807, writ": {"submit", "evaluation_report", "--user", "9223372036854775808", "--report", "1"},
		"priority":                  {"submit", "evaluation_report", "--user", "1", "--report", "1", "--priority", "high"},
		"--at: must be":             {"submit", "evaluation_report", "--user", "1", "--report", "1", "--at", "tomorrow"},
		"--data: not used":          {"submit", "evaluation_report", "--user", "1", "--report", "1", "--data", "{}"},
		"--data: not JSON":          {"submit", "own", "--user", "1", "--report", "1", "--data", "{"},
		"kind \"Own\"":              {"submit", "Own", "--user", "1", "--report", "1"},
		"leave out KIND":            {"submit", "evaluation_report", "--file", "x"},
		"no such file":              {"submit", "--file", "/no/such"},
		"r.ndjson:2: user_id":       {"submit", "--file", lines},
		"r.ndjson:4: unknown field": {"submit", "--file", lines},
		"nothing was submitted":     {"submit", "--file", lines},
		"no request in it":          {"submit", "--file", "-"},
		"--limit":                   {"list", "--limit", "0"},
		"--timeout":                 {"list", "--timeout", "-1s"},
		"--url (EVALQ_URL)":         {"list", "--url", "redis://host"},
		"--format":                  {"import", lines, "--format", "xml"},
		"--priority: is for":        {"import", lines, "--priority", "low"},
		"--csv: name the file":      {"bench", "judge"},
		"--seconds and":             {"bench", "accept", "--seconds", "0"},
		"--rounds: must be":         {"bench", "accept", "--rounds", "-1"},
		"Callers: must be":          {"bench", "accept", "--callers", "8,0"},
		"Ledgers: \"oracle\"":       {"bench", "accept", "--ledgers", "sqlite,oracle"},
		"EVALQ_URL?":                {"list"},
	} {
		environ := []string{"EVALQ_URL=http://127.0.0.1:1"}
		if says == "EVALQ_URL?" {
			environ = []string{"EVALQ_ULR=http://127.0.0.1:1"}
		}
		run(t, environ, "", args...).want(t, 2, says)
	}
}

func TestAServerThatIsNotThereHasItsOwnExitCode(t *testing.T) {
	t.Parallel()
	const id = "0123456789abcdefghjkmnpq"
	for _, args := range [][]string{{"list"}, {"get", id}, {"get", id, "--wait"}} {
		begin := time.Now()
		run(t, []string{"EVALQ_URL=http://127.0.0.1:1"}, "", append(args, "--timeout", "5m")...).want(t, 5, "http://127.0.0.1:1", "evalq serve")
		if took := time.Since(begin); took > 30*time.Second {
			t.Errorf("%v took %s", args, took)
		}
	}
}

func TestWhoWaitsForAServerIsToldSo(t *testing.T) {
	t.Parallel()
	submit := []string{"submit", "evaluation_report", "--user", "1", "--report", "2", "--timeout"}
	e := run(t, []string{"EVALQ_URL=http://127.0.0.1:1"}, "", append(submit, "3s")...).want(t, 5, "refused", "evalq serve")
	if strings.Count(e.err, "still trying") != 1 || e.out != "" {
		t.Errorf("it said:\n%s%s", e.out, e.err)
	}
	e = run(t, []string{"EVALQ_URL=http://127.0.0.1:1"}, "", append(submit, "50ms")...).want(t, 5)
	if strings.Contains(e.err, "still trying") {
		t.Errorf("it said:\n%s", e.err)
	}
}

func TestTimesAreInUTCAndSaySo(t *testing.T) {
	t.Parallel()
	east := time.Date(2030, 1, 31, 8, 0, 0, 0, time.FixedZone("", 8*3600))
	if got := moment(east); got != "2030-01-31 00:00:00Z" {
		t.Error(got)
	}
}

func TestNotesAndSentencesAreOfFailuresThatMatter(t *testing.T) {
	t.Parallel()
	failed := &tasks.Failure{Class: tasks.ClassTimeout, Message: "m"}
	for state, want := range map[tasks.State]string{
		tasks.Retrying: "timeout", tasks.Dead: "timeout", tasks.Held: "interview missing",
		tasks.Accepted: "", tasks.Queued: "", tasks.Running: "", tasks.Succeeded: "", tasks.Cancelled: "",
	} {
		j := tasks.Job{State: state, Error: failed}
		if state == tasks.Held {
			j.Hold = tasks.HoldInterviewMissing
		}
		if got := note(j); got != want {
			t.Errorf("%s: note %q, want %q", state, got, want)
		}
		if got := sentence(j); (got != "") != (want != "") {
			t.Errorf("%s: sentence %q", state, got)
		}
	}
	var out bytes.Buffer
	(&program{out: &out}).printDetails(tasks.Job{State: tasks.Accepted, Error: failed})
	if text := out.String(); strings.Contains(text, "steps") || strings.Contains(text, "meaning") || !strings.Contains(text, "last error") {
		t.Errorf("a job that was taken up again:\n%s", text)
	}
}

func TestATokenIsNeededWhereCredentialsAreSet(t *testing.T) {
	t.Parallel()
	w := start(t, func(c *config.Config) { c.OperatorToken, c.ViewerToken = "operator-secret", "viewer-secret" })
	w.run(t, "list").want(t, 6, "--token-file")
	for token, code := range map[string]int{"wrong-secret": 6, "viewer-secret": 6, "operator-secret": 0} {
		e := w.run(t, "submit", "evaluation_report", "--user", "1", "--report", "2", "--token-file", file(t, "token", token))
		e.want(t, code)
		if strings.Contains(e.err+e.out, token) {
			t.Errorf("the token is shown: %s", e.err)
		}
	}
	run(t, append(w.environ, "EVALQ_TOKEN=viewer-secret"), "", "list").want(t, 0)
}

func TestServeRunsUntilItIsToldToStop(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	told := make(lines, 100)
	p := &program{in: strings.NewReader(""), out: told, errOut: told}
	codes := make(chan int, 1)
	go func() { codes <- p.run(ctx, []string{"serve", "--listen", "127.0.0.1:0", "--data-dir", t.TempDir()}) }()
	url := told.find(t, "http://")
	resp, err := http.Get(strings.TrimRight(url, "/") + "/readyz")
	if err != nil || resp.StatusCode != 200 {
		t.Errorf("%v %v", resp, err)
	}
	if err == nil {
		resp.Body.Close()
	}
	cancel()
	select {
	case code := <-codes:
		if code != 0 {
			t.Errorf("exit code %d", code)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it does not stop")
	}
}

// lines is a writer whose text is looked through while it comes.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	select {
	case l <- string(b):
	default: // nobody looks any more
	}
	return len(b), nil
}

// find waits for a word that begins with prefix.
func (l lines) find(t *testing.T, prefix string) string {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case text := <-l:
			for word := range strings.FieldsSeq(text) {
				if strings.HasPrefix(word, prefix) {
					return word
				}
			}
		case <-deadline:
			t.Fatalf("nothing said %q", prefix)
		}
	}
}

func TestServeThatCannotStartFailsAtOnceAndKeepsPasswords(t *testing.T) {
	t.Parallel()
	for says, c := range map[string]struct {
		code int
		args []string
	}{
		"redis://***@127.0.0.1:1":           {1, []string{"--redis-url", "redis://:s3cret@127.0.0.1:1"}},
		"--redis-url":                       {1, []string{"--redis-url", "redis://:s3cret@host:port"}},
		"credentials":                       {1, []string{"--listen", "0.0.0.0:0"}},
		"host:port":                         {1, []string{"--listen", "8080"}},
		"--engine (EVALQ_ENGINE)":           {2, []string{"--engine", "postgres"}},
		"--concurrency (EVALQ_CONCURRENCY)": {2, []string{"--concurrency", "x"}},
		"ledger belongs to one pr":          {2, []string{"--roles", "api,relay"}},
	} {
		begin := time.Now()
		e := run(t, nil, "", append([]string{"serve", "--listen", "127.0.0.1:0", "--data-dir", t.TempDir()}, c.args...)...)
		if e.code != c.code || time.Since(begin) > 15*time.Second || strings.Contains(e.err, "s3cret") || !strings.Contains(strings.ReplaceAll(e.err, ":***@", "***@"), says) {
			t.Errorf("%v: code %d after %s: %s", c.args, e.code, time.Since(begin), e.err)
		}
	}
}

func TestVersionNamesTheProgram(t *testing.T) {
	t.Parallel()
	var b build
	run(t, nil, "", "version", "--json").want(t, 0).decode(t, &b)
	if b.Version == "" || !strings.HasPrefix(b.Go, "go1.") {
		t.Errorf("%+v", b)
	}
	run(t, nil, "", "version").want(t, 0, "evalq "+b.Version)
}

func TestBenchJudgePrintsTheAgreement(t *testing.T) {
	t.Parallel()
	csv := "question,reference,student,score01\n" +
		"What is a stack?,A last in first out list.,A last in first out list,1\n" +
		"What is a stack?,A last in first out list.,A kind of tree,0\n" +
		"What is a queue?,A first in first out list.,first in first out,0.9\n"
	path := file(t, "graded.csv", csv)
	var got struct {
		N    int
		R    *float64
		QWK  *float64
		RMSE float64
	}
	run(t, nil, "", "bench", "judge", "--csv", path, "--json").want(t, 0).decode(t, &got)
	if got.N != 3 || got.R == nil || *got.R < 0.5 {
		t.Errorf("%+v", got)
	}
	run(t, nil, csv, "bench", "judge", "--csv", "-").want(t, 0, "QWK", "RMSE", "offline/")
	run(t, nil, "a,b\n", "bench", "judge", "--csv", "-").want(t, 2, "column")
}

func TestBenchAcceptPrintsATableOrJSON(t *testing.T) {
	t.Parallel()
	args := []string{"bench", "accept", "--ledgers", "sqlite", "--seconds", "0.05", "--rounds", "1", "--callers", "2"}
	run(t, nil, "", args...).want(t, 0, "CALLERS", "ACCEPTED/S", "HTTP, SQLite", "1.00 (1.00 to 1.00)", "round 1 of 1")
	var got struct {
		Rows []struct {
			Name    string
			Callers int
			Rate    struct{ Median float64 } `json:"accepts_per_second"`
		}
	}
	run(t, nil, "", append(args, "--json")...).want(t, 0).decode(t, &got)
	if len(got.Rows) != 2 || got.Rows[0].Name != "SQLite" || got.Rows[0].Callers != 2 || got.Rows[0].Rate.Median <= 0 {
		t.Errorf("%+v", got)
	}
}

func TestADurationInTheLogIsReadableInEitherForm(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		logger(&out, &config.Config{LogFormat: format}).Warn("x", "retry_in", 1500*time.Millisecond)
		if !strings.Contains(strings.ReplaceAll(out.String(), `"`, ""), "1.5s") {
			t.Errorf("%s: %s", format, out.String())
		}
	}
}
