package tasks_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"evalq/tasks"
)

func TestAHundredThousandIDsOfOneMillisecondAreUnique(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	seen := make(map[string]bool, 100_000)
	for range 100_000 {
		id := tasks.NewID(now)
		if seen[id] || !tasks.ValidID(id) || strings.ContainsAny(id, "-/.") {
			t.Fatalf("id %q: seen %v, valid %v", id, seen[id], tasks.ValidID(id))
		}
		seen[id] = true
	}
}

func TestIDsSortByTime(t *testing.T) {
	t.Parallel()
	const end = 1 << 47 // milliseconds; the year 6429
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.Int64Range(0, end-1).Draw(t, "a")
		b := rapid.OneOf(rapid.Just(a+1), rapid.Int64Range(a+1, end)).Draw(t, "b")
		first, second := tasks.NewID(time.UnixMilli(a)), tasks.NewID(time.UnixMilli(b))
		if first >= second {
			t.Fatalf("%q of %d is not before %q of %d", first, a, second, b)
		}
	})
}

func TestTaskIDAndParseTaskIDAreInverse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id, delivery := rapid.StringMatching(`[0-9a-z]{24}`).Draw(t, "id"), rapid.IntMin(1).Draw(t, "delivery")
		job, n, err := tasks.ParseTaskID(tasks.TaskID(id, delivery))
		if err != nil || job != id || n != delivery {
			t.Fatalf("%s.%d was read as %s, %d, %v", id, delivery, job, n, err)
		}
	})
}

func TestParseTaskIDRefusesEveryOtherForm(t *testing.T) {
	t.Parallel()
	id := tasks.NewID(time.Now())
	for _, s := range []string{
		"", ".", id, id + ".", "." + id, id + ".0", id + ".01", id + ".+1", id + ".-1", id + ".1.2", id + ". 1", id + ".1 ", id + ".1e3", id + ".x",
		id + ".9223372036854775808", id[1:] + ".1", id + "a.1", strings.ToUpper(id[:23]) + "A.1", "\n" + id + ".1", id + ".1\n", id + ".１",
	} {
		if job, n, err := tasks.ParseTaskID(s); err == nil {
			t.Errorf("%q was read as %q, %d", s, job, n)
		}
	}
}

func FuzzParseTaskID(f *testing.F) {
	f.Add("000000000000000000000000.1")
	f.Add("000000000000000000000000.9223372036854775807")
	f.Add("000000000000000000000000.01")
	f.Fuzz(func(t *testing.T, s string) {
		job, n, err := tasks.ParseTaskID(s)
		if err == nil && (tasks.TaskID(job, n) != s || n < 1 || !tasks.ValidID(job)) {
			t.Fatalf("%q was read as %q, %d", s, job, n)
		}
	})
}
