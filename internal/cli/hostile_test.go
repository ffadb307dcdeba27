package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestATextOfAnotherCannotForgeALineOfATable(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"newline": "Go\n9999  8  1  stored  forged", "carriage return": "Go\r9999  8", "direction": "Go \u202e9999", "isolate": "Go \u2066 9999",
		"separator": "Go\u2028 9999", "tab": "Go\t9999", "escape": "Go\x1b[2K9999", "C1": "Go\u009b2K9999", "invisible": "Go\u200b9999", "mark": "\ufeffGo",
	} {
		var out bytes.Buffer
		table(&out, []string{"REPORT", "TITLE"}, [][]string{{"1", text}})
		if strings.Count(out.String(), "\n") != 2 || strings.ContainsAny(out.String(), "\r\t\x1b\u202e\u2066\u2028\u009b\u200b\ufeff") {
			t.Errorf("%s: the table is %q", name, out.String())
		}
	}
	if got := printable("a \u0645\u200c\u06cc b \U0001F469\u200d\U0001F4BB"); got != "a \u0645\u200c\u06cc b \U0001F469\u200d\U0001F4BB" {
		t.Errorf("a text that needs joiners is %q", got)
	}
}

func TestAReadThatDoesNotEndIsLeftWhenThePersonStopsIt(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"import", "-", "--dry-run"}, {"submit", "--file", "-"}} {
		in, feeder := io.Pipe()
		ctx, stop := context.WithCancel(t.Context())
		p := &program{in: in, out: io.Discard, errOut: io.Discard}
		ended := make(chan int, 1)
		go func() { ended <- p.run(ctx, args) }()
		if _, err := io.WriteString(feeder, "["); err != nil { // it reads by now
			t.Fatal(err)
		}
		stop()
		select {
		case code := <-ended:
			if code == 0 {
				t.Errorf("%v ended with 0", args)
			}
		case <-time.After(60 * time.Second):
			t.Errorf("%v did not stop", args)
		}
		feeder.Close()
	}
}

// many is a file of interviews, one row or one object each.
func many(format string, n int) []byte {
	var b bytes.Buffer
	if format == formatCSV {
		b.WriteString("report_id,user_id,question\n")
		for i := range n {
			fmt.Fprintf(&b, "%d,7,What is a goroutine?\n", i+1)
		}
		b.WriteString("\"cut off,7,x\n")
		for i := range n { // the part that is not read
			fmt.Fprintf(&b, "%d,7,x\n", i+n+1)
		}
		return b.Bytes()
	}
	b.WriteString("[")
	for i := range n {
		if i > 0 {
			b.WriteString(",\n")
		}
		fmt.Fprintf(&b, `{"report_id":%d,"user_id":7,"answers":[]}`, i+1)
	}
	b.WriteString("]")
	return b.Bytes()
}

func TestLinesAreCountedInOnePassAndMistakesAreNamedByThem(t *testing.T) {
	t.Parallel()
	c := lineCounter{data: []byte("a\nb\n\nc")}
	for _, step := range [][2]int{{0, 1}, {1, 1}, {2, 2}, {2, 2}, {5, 4}, {6, 4}} {
		if got := c.at(step[0]); got != step[1] || c.looked != step[0] {
			t.Errorf("offset %d is at line %d, want %d", step[0], got, step[1])
		}
	}
	const n = 2_000
	data := append(bytes.TrimSuffix(many(formatJSON, n), []byte("]")), []byte(",\n{\"report_id\":0}]")...)
	got := parseInterviews(t.Context(), formatJSON, data)
	if len(got.good) != n || len(got.wrong) != 1 || got.wrong[0].Line != n+1 {
		t.Errorf("%d are read, wrong is %v; want the line %d", len(got.good), got.wrong, n+1)
	}
	// A row that is cut off leaves out those interviews whose ids stand behind it.
	cut := parseInterviews(t.Context(), formatCSV, append(many(formatCSV, 500), []byte("12,7,x\n")...))
	if len(cut.good) != 498 { // 7 is the user of each row
		t.Errorf("%d of 500 are read, want all but those whose ids come again, 7 and 12", len(cut.good))
	}
}

func TestParsingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	for _, format := range []string{formatJSON, formatCSV} {
		if got := parseInterviews(ctx, format, many(format, 100)); len(got.good) > 0 {
			t.Errorf("%s: %d were read", format, len(got.good))
		}
	}
}

func TestABackupGetsItsNameWhenItIsWholeAndFollowsNoLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	from, to, victim := filepath.Join(dir, "from"), filepath.Join(dir, "to"), filepath.Join(dir, "victim")
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(from, "copy")
	write(victim, "precious")
	if err := os.Symlink(victim, to); err != nil {
		t.Fatal(err)
	}
	if err := rename(from, to, false); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("a link that came to be there: %v", err)
	}
	if err := rename(from, to, true); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(victim); string(text) != "precious" {
		t.Errorf("what the link named is %q, %v", text, err)
	}
	if info, err := os.Lstat(to); err != nil || !info.Mode().IsRegular() {
		t.Errorf("the backup is %v, %v", info, err)
	}
	write(from, "newer")
	if err := rename(from, filepath.Join(dir, "free"), false); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(from); err == nil {
		t.Error("the partial copy is still there")
	}
}
