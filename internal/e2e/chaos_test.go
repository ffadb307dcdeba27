package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// TestChaosInShortLosesNothing is `evalq chaos --short`, as docs/guarantees.md has
// it in full.
func TestChaosInShortLosesNothing(t *testing.T) {
	t.Parallel()
	// One after the other: each has seven processes and two servers.
	for _, ledger := range []string{"sqlite", "postgres"} {
		t.Run(ledger, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, binary, "chaos", "--short", "--ledger", ledger, "--seed", "1", "--json")
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
			cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) } // so that it takes its servers along
			cmd.WaitDelay = 30 * time.Second
			var out, told bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &told
			err := cmd.Run()
			if err != nil {
				t.Fatalf("%v\n%s\n%s", err, &told, &out)
			}
			var r struct {
				Jobs, Accepted, Finished, Deaths, Calls, Answers int
				Faults                                           []struct {
					Fault     string
					Done, Hit int
				}
			}
			if err := json.Unmarshal(out.Bytes(), &r); err != nil {
				t.Fatalf("%v\n%s", err, &out)
			}
			if r.Jobs != 600 || r.Accepted != r.Jobs || r.Finished != r.Jobs || r.Deaths == 0 || r.Answers != 3*r.Jobs/2 || r.Calls < r.Answers {
				t.Errorf("%+v", r)
			}
			for _, f := range r.Faults {
				if f.Done == 0 || f.Hit == 0 {
					t.Errorf("%s: done %d times, hit %d attempts", f.Fault, f.Done, f.Hit)
				}
			}
		})
	}
}
