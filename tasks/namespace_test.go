package tasks

import "testing"

func TestANamespaceBeginsTheNamesOfItsQueuesAndKnowsNoOthers(t *testing.T) {
	t.Parallel()
	for _, n := range []Namespace{"", "staging", "a.b-c_1"} {
		for _, p := range Priorities() {
			if got, ok := n.Priority(n.Queue(p)); !ok || got != p {
				t.Errorf("%q: %q came back as %q, %v", n, n.Queue(p), got, ok)
			}
		}
	}
	for _, c := range []struct {
		in    Namespace
		queue string
	}{{"", "staging:default"}, {"staging", "default"}, {"staging", "prod:default"}, {"", ""}, {"staging", "staging:"}, {"", "other"}} {
		if p, ok := c.in.Priority(c.queue); ok {
			t.Errorf("%q takes %q for its %q", c.in, c.queue, p)
		}
	}
	if Namespace("").Key("epoch") != "evalq:epoch" || Namespace("a").Key("epoch") != "evalq:a:epoch" {
		t.Error("keys are named otherwise")
	}
}
