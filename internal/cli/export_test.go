package cli

import (
	"bufio"
	"encoding/json"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"evalq/internal/redistest"
	"evalq/tasks"
)

// unfinished fills a server with jobs in several states.
func unfinished(t *testing.T) world {
	t.Helper()
	w := start(t)
	w.run(t, "import", file(t, "i.json", "["+interview(7, 42, "a view of an array")+","+interview(7, 43, "")+"]")).want(t, 0)
	for _, ended := range []struct {
		report string
		code   int
	}{{"42", 0}, {"43", 7}} {
		w.run(t, "submit", "evaluation_report", "--user", "7", "--report", ended.report, "--wait").want(t, ended.code)
	}
	id := w.run(t, "submit", "evaluation_report", "--user", "7", "--report", "44", "--at", far, "--json").want(t, 0).job(t).ID
	w.run(t, "cancel", id).want(t, 0)
	w.run(t, "submit", "topic_evaluation", "--user", "7", "--report", "45", "--at", far).want(t, 0)
	held := w.run(t, "submit", "evaluation_report", "--user", "9007199254740992", "--report", "46", "--json").want(t, 0).job(t).ID
	for deadline := time.Now().Add(30 * time.Second); w.run(t, "get", held, "--json").job(t).State != tasks.Held; {
		if time.Now().After(deadline) {
			t.Fatal("a job without an interview is not held")
		}
	}
	return w
}

var jobID = regexp.MustCompile(`,"id":"[0-9a-z]{24}"`)

func TestExportWritesEveryUnfinishedJobAsALine(t *testing.T) {
	t.Parallel()
	w := unfinished(t)
	w.run(t, "submit", "evaluation_report", "--user", largeUser, "--report", largeReport, "--at", far).want(t, 0)
	got := w.run(t, "export", "--unfinished").want(t, 0)
	want := `{"kind":"evaluation_report","user_id":9223372036854775807,"report_id":9007199254740993,"state":"accepted"}
{"kind":"evaluation_report","user_id":9007199254740992,"report_id":46,"state":"held"}
{"kind":"topic_evaluation","user_id":7,"report_id":45,"state":"accepted"}
`
	if out := jobID.ReplaceAllString(got.out, ""); out != want || got.err != "" || !jobID.MatchString(got.out) {
		t.Errorf("wrote\n%s%s", got.out, got.err)
	}
	if dead := w.run(t, "export", "--unfinished", "--dead").want(t, 0); !strings.Contains(dead.out, `"report_id":43,"state":"dead","id":"`) || strings.Count(dead.out, "\n") != 4 {
		t.Errorf("with the dead\n%s", dead.out)
	}
}

func TestExportWritesAnInterviewOnceWhateverItsRevisions(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.run(t, "import", file(t, "i.json", interview(7, 42, ""))).want(t, 0)
	w.run(t, "submit", "evaluation_report", "--user", "7", "--report", "42", "--wait").want(t, 7) // dead, in revision 1
	w.run(t, "import", file(t, "i.json", interview(7, 43, "a view of an array"))).want(t, 0)
	w.run(t, "submit", "evaluation_report", "--user", "7", "--report", "43", "--wait").want(t, 0)
	w.run(t, "import", file(t, "i.json", interview(7, 43, "something else"))).want(t, 0)
	second := w.run(t, "submit", "evaluation_report", "--user", "7", "--report", "43", "--at", far, "--json").want(t, 0).job(t)
	if second.Revision != 2 {
		t.Fatalf("%+v", second)
	}
	if got := w.run(t, "export", "--unfinished", "--dead", "--format", "wire").want(t, 0); strings.Count(got.out, `"report_id":43`) != 1 || strings.Count(got.out, "\n") != 2 {
		t.Errorf("wrote\n%s", got.out)
	}
}

func TestWhatExportWritesForTheWireArrivesAtAnOldConsumerByteForByte(t *testing.T) {
	t.Parallel()
	w := unfinished(t)
	lines := w.run(t, "export", "--unfinished", "--format", "wire").want(t, 0).out
	want := []string{
		`interview:messages:evaluation_report {"type":"evaluation_report","payload":{"report_id":46,"user_id":9007199254740992}}`,
		`interview:messages:topic_evaluation {"type":"topic_evaluation","payload":{"report_id":45,"user_id":7}}`,
	}
	for i, line := range slices.Collect(strings.Lines(lines)) {
		channel, message, _ := strings.Cut(want[i], " ")
		if line != "PUBLISH "+channel+" '"+message+"'\n" {
			t.Errorf("line %d is %s", i, line)
		}
	}
	s := redistest.Start(t, redistest.WithTCP())
	heard := s.Client(t).PSubscribe(t.Context(), "*")
	defer heard.Close()
	if _, err := heard.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	cli := exec.CommandContext(t.Context(), "redis-cli", "-u", s.URL)
	cli.Stdin = strings.NewReader(lines)
	if out, err := cli.CombinedOutput(); err != nil || strings.Count(string(out), "1") != 2 {
		t.Fatalf("redis-cli: %v\n%s", err, out)
	}
	for _, w := range want {
		m, err := heard.ReceiveMessage(t.Context())
		if err != nil || m.Channel+" "+m.Payload != w {
			t.Fatalf("heard %+v, %v, want %s", m, err, w)
		}
	}
}

func TestExportNamesWhatAnOldConsumerWouldMisread(t *testing.T) {
	t.Parallel()
	w := start(t)
	for _, ids := range [][2]string{{largeUser, "1"}, {"1", largeReport}, {"1", "2"}} {
		w.run(t, "submit", "topic_evaluation", "--user", ids[0], "--report", ids[1], "--at", far).want(t, 0)
	}
	got := w.run(t, "export", "--unfinished", "--format", "wire", "--prefix", "message_queue:").want(t, 1,
		"topic_evaluation of user "+largeUser+", report 1:", "topic_evaluation of user 1, report "+largeReport+":", "2 jobs with an id above 2^53")
	if got.out != `PUBLISH message_queue:topic_evaluation '{"type":"topic_evaluation","payload":{"report_id":2,"user_id":1}}'`+"\n" {
		t.Errorf("wrote %s", got.out)
	}
	for scan := bufio.NewScanner(strings.NewReader(w.run(t, "export", "--unfinished").want(t, 0).out)); scan.Scan(); {
		var line struct {
			UserID   json.Number `json:"user_id"`
			ReportID json.Number `json:"report_id"`
		}
		if err := json.Unmarshal(scan.Bytes(), &line); err != nil || line.UserID == "" || line.ReportID == "" {
			t.Errorf("%s: %v", scan.Text(), err)
		}
	}
}

func TestExportRefusesWhatIsNotClear(t *testing.T) {
	t.Parallel()
	for says, args := range map[string][]string{
		"--unfinished: missing": {}, "--format: use": {"--unfinished", "--format", "csv"},
		"--prefix: give": {"--unfinished", "--format", "wire", "--prefix", "a b:"}, "--prefix: give a": {"--unfinished", "--prefix", "it's"},
		"--prefix: give a name": {"--unfinished", "--prefix", ""},
	} {
		run(t, []string{"EVALQ_URL=http://127.0.0.1:1"}, "", append([]string{"export"}, args...)...).want(t, 2, says)
	}
}
