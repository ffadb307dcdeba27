package e2e

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestTheDemoShowsResultsAndItsPrintedCommandsRepairTheDeadJob(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, "demo", "--listen", "127.0.0.1:0", "--data-dir", dir)
	p.awaitLine("Serving on ")
	said := p.out.String()
	for _, want := range []string{"sign-in ", "engine     embedded", "finished", "weakest topic", "dead: not_assessable", "skipped: empty", "strong"} {
		if !strings.Contains(said, want) {
			t.Fatalf("it did not say %q:\n%s", want, said)
		}
	}
	env, commands := printedCommands(t, said)
	for _, c := range commands {
		cmd(t, env, c)
	}
	ids := commands[len(commands)-1][1:]
	for _, id := range ids {
		if out := cmd(t, env, []string{"get", id, "--wait"}); !strings.Contains(out, "succeeded") {
			t.Fatalf("after the repair the job is:\n%s", out)
		}
	}
	if code := p.interrupt(); code != 0 {
		t.Fatalf("Ctrl-C ended it with %d:\n%s", code, p.out)
	}
	if !strings.Contains(p.out.String(), "stopped; what is unfinished") {
		t.Fatalf("it ended without a word:\n%s", p.out)
	}
	// A second run leaves the repair alone.
	p = start(t, "demo", "--listen", "127.0.0.1:0", "--data-dir", dir)
	p.awaitLine("Serving on ")
	if said := p.out.String(); strings.Contains(said, "not_assessable") || !strings.Contains(said, "20 known from a run before") {
		t.Fatalf("the second run said:\n%s", said)
	}
}

// printedCommands reads what the demo tells its reader to type.
func printedCommands(t *testing.T, said string) (env []string, commands [][]string) {
	t.Helper()
	for line := range strings.Lines(said) {
		f := strings.Fields(line)
		switch {
		case len(f) > 1 && f[0] == "export":
			env = f[1:]
		case len(f) > 2 && (f[1] == "import" || f[1] == "retry") && strings.HasPrefix(line, "  "):
			commands = append(commands, f[1:])
		}
	}
	if len(env) != 2 || len(commands) != 2 {
		t.Fatalf("no commands in:\n%s", said)
	}
	return env, commands
}

// cmd runs a verb that has to succeed.
func cmd(t *testing.T, env, args []string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, binary, args...)
	c.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	c.Dir = t.TempDir()
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}
