package cli

import (
	"strings"
	"testing"
)

func TestChaosRefusesWhatItCannotDoBeforeItStartsAnything(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--jobs", "5"}, "--jobs: 5 is below 100"},
		{[]string{"--ledger", "oracle"}, "none of postgres, mysql and sqlite"},
		{[]string{"--seed", "minus"}, "invalid argument"},
		{[]string{"twice"}, "unknown command"},
	} {
		run(t, nil, "", append([]string{"chaos"}, c.args...)...).want(t, 2, c.says)
	}
}

func TestTheChildrenOfChaosAreNotShown(t *testing.T) {
	t.Parallel()
	help := run(t, nil, "", "chaos", "--help").want(t, 0, "evalq chaos --short", "--seed")
	for _, line := range []string{"node", "judge  "} {
		if strings.Contains(help.out, "\n  "+line) {
			t.Errorf("its help lists %q:\n%s", line, help.out)
		}
	}
}
