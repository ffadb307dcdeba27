package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"evalq/internal/cli"
	"evalq/internal/config"
	"evalq/internal/doctor"
	"evalq/tasks"
)

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// pages are the documents, by their path from the root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, name := range append(names, "README.md", "CHANGELOG.md") {
		out[name] = read(t, name)
	}
	return out
}

func wantLines(t *testing.T, page string, want []string) {
	t.Helper()
	have := strings.Split(read(t, page), "\n")
	for _, line := range want {
		if !slices.Contains(have, line) {
			t.Errorf("%s lacks the line:\n%s", page, line)
		}
	}
}

// settingRow is a setting as README shows it.
func settingRow(s config.Setting) string {
	code := func(prefix string, names ...string) string {
		var out []string
		for _, n := range names {
			if n != "" {
				out = append(out, "`"+prefix+n+"`")
			}
		}
		return strings.Join(out, " ")
	}
	return fmt.Sprintf("| %s | %s | %s | %s |", code("--", s.Flag, s.FileFlag), code("", s.Env, s.FileEnv), s.Default, s.Help)
}

func TestTheSettingsInREADMEAreThoseOfTheProgram(t *testing.T) {
	t.Parallel()
	var want []string
	for _, s := range config.Table() {
		want = append(want, settingRow(s))
	}
	wantLines(t, "README.md", want)
	rows := regexp.MustCompile("(?m)^\\| `--.*`EVALQ_").FindAllString(read(t, "README.md"), -1)
	if len(rows) != len(want) {
		t.Errorf("README.md has %d settings, the program %d", len(rows), len(want))
	}
}

// help is what a verb's --help prints.
func help(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	if code := cli.Main(t.Context(), append(args, "--help"), nil, &out, &out); code != 0 {
		t.Fatalf("%v --help: exit code %d: %s", args, code, &out)
	}
	return out.String()
}

func TestTheCommandsAndExitCodesInREADMEAreThoseOfTheProgram(t *testing.T) {
	t.Parallel()
	readme := read(t, "README.md")
	_, codes, _ := strings.Cut(help(t), "Exit codes:\n\n")
	codes, rest, _ := strings.Cut(codes, "\n\n")
	var want []string
	for _, line := range strings.Split(codes, "\n") {
		code, meaning, _ := strings.Cut(strings.TrimSpace(line), " ")
		want = append(want, fmt.Sprintf("| %s | %s |", code, strings.TrimSpace(meaning)))
	}
	if len(want) < 5 {
		t.Fatalf("exit codes are not found in the help:\n%s", codes)
	}
	wantLines(t, "README.md", want)
	_, verbs, _ := strings.Cut(rest, "Available Commands:\n")
	verbs, _, _ = strings.Cut(verbs, "\n\n")
	for _, line := range strings.Split(verbs, "\n") {
		verb := strings.Fields(line)[0]
		if verb != "help" && verb != "completion" && !strings.Contains(readme, "| `evalq "+verb) {
			t.Errorf("README.md lacks the command %s", verb)
		}
	}
}

// effect says what a class of error does to a job.
func effect(c tasks.Class) string {
	switch {
	case c == tasks.ClassInterviewMissing:
		return "held until it arrives, dead after the wait"
	case c == tasks.ClassNoHandler:
		return "held until a worker handles the kind, dead after the wait"
	case c.Permanent():
		return "dead at once"
	case c.Transient():
		return "tried again, costs no attempt"
	case c == tasks.ClassWorkerLost:
		return "delivered again, counts as a death"
	}
	return "tried again, costs an attempt"
}

func TestTheErrorClassesInOperationsAreThoseOfTheProgram(t *testing.T) {
	t.Parallel()
	var want []string
	for _, c := range tasks.Classes() {
		want = append(want, fmt.Sprintf("| `%s` | %s | %s |", c, effect(c), c.Sentence("en", false)))
	}
	wantLines(t, "docs/operations.md", want)
}

func TestTheChecksOfTheDoctorInOperationsAreThoseOfTheProgram(t *testing.T) {
	t.Parallel()
	var want []string
	for _, c := range doctor.Checks() {
		made := "not at a start"
		switch {
		case c.Start:
			made = "always"
		case c.Deep:
			made = "with `--deep`"
		}
		want = append(want, fmt.Sprintf("| `%s` | %s | %s |", c.Name, c.Looks, made))
	}
	wantLines(t, "docs/operations.md", want)
	_, section, _ := strings.Cut(read(t, "docs/operations.md"), "### The doctor")
	section, _, _ = strings.Cut(section, "\n### ")
	if rows := regexp.MustCompile("(?m)^\\| `[a-z.]+` \\| .* \\| .* \\|$").FindAllString(section, -1); len(rows) != len(want) {
		t.Errorf("docs/operations.md has %d checks, the program %d", len(rows), len(want))
	}
	for _, l := range doctor.Levels() {
		if !strings.Contains(section, "| `"+string(l)+"` |") {
			t.Errorf("docs/operations.md does not say what %s means", l)
		}
	}
}

func TestTheLogsMessagesInOperationsAreThoseOfTheProgram(t *testing.T) {
	t.Parallel()
	sources := programSources(t)
	_, table, _ := strings.Cut(read(t, "docs/operations.md"), "\n| message | what to do |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	named := 0
	for row := range strings.Lines(table) {
		messages, _, _ := strings.Cut(strings.TrimPrefix(row, "| "), " | ")
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(messages, -1) {
			named++
			if !strings.Contains(sources, strconv.Quote(m[1])) {
				t.Errorf("docs/operations.md: nothing logs %q", m[1])
			}
		}
	}
	if named == 0 {
		t.Fatal("no message is named")
	}
}

func TestTheArrowsInDesignAreThoseOfTheTable(t *testing.T) {
	t.Parallel()
	var want []string
	for _, from := range tasks.States() {
		var to []string
		for _, s := range tasks.States() {
			if from.CanMove(s) {
				to = append(to, string(s))
			}
		}
		row := strings.Join(to, ", ")
		if row == "" {
			row = "nothing"
		}
		want = append(want, fmt.Sprintf("| `%s` | %s |", from, row))
	}
	wantLines(t, "docs/design.md", want)
}

func TestEveryDirectDependencyHasAReason(t *testing.T) {
	t.Parallel()
	design := read(t, "docs/design.md")
	found := 0
	for _, line := range strings.Split(read(t, "go.mod"), "\n") {
		path, _, ok := strings.Cut(strings.TrimSpace(line), " v")
		if !ok || strings.HasSuffix(line, "// indirect") {
			continue
		}
		found++
		if !strings.Contains(design, "| `"+path+"` |") {
			t.Errorf("docs/design.md gives no reason for %s", path)
		}
	}
	if found < 5 {
		t.Fatalf("only %d dependencies were found in go.mod", found)
	}
	rows := regexp.MustCompile("(?m)^\\| `[a-z0-9.]+\\.[a-z]+/[^`]+` \\|").FindAllString(design, -1)
	if len(rows) != found {
		t.Errorf("docs/design.md has %d rows of dependencies, go.mod %d", len(rows), found)
	}
}

func TestTheGoInTheDocumentsIsTheCodeOfTheExamples(t *testing.T) {
	t.Parallel()
	source := read(t, "docs_example_test.go") + read(t, "mq/example_test.go") + platformProgram(t, "after")
	goIn := regexp.MustCompile("(?s)```go\n(.*?)```")
	blocks := slices.Concat(goIn.FindAllStringSubmatch(read(t, "README.md"), -1), goIn.FindAllStringSubmatch(read(t, "docs/migrating.md"), -1))
	if len(blocks) < 8 {
		t.Fatalf("the documents show Go in %d places", len(blocks))
	}
	for _, b := range blocks {
		code := strings.ReplaceAll(b[1], `"http://127.0.0.1:8080"`, "url")
		inside := regexp.MustCompile(`(?m)^(.)`).ReplaceAllString(code, "\t$1")
		if !strings.Contains(source, inside) && !strings.Contains(source, code) {
			t.Errorf("a document shows what no example has:\n%s", code)
		}
	}
}

func TestTheJSONInTheDocumentsIsJSON(t *testing.T) {
	t.Parallel()
	found := 0
	for name, text := range pages(t) {
		for _, m := range regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(text, -1) {
			found++
			if err := tasks.CheckJSON([]byte(m[1])); err != nil {
				t.Errorf("%s: %v:\n%s", name, err, m[1])
			}
		}
	}
	if found == 0 {
		t.Fatal("no JSON is shown anywhere")
	}
}
