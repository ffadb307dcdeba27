package tasks

import (
	"slices"
	"strings"
	"testing"
	"unicode"
)

// advice is how a sentence says whether to do anything.
var advice = []string{"need not do anything", "please", "is kept until", "submit it again", "evaluate again"}

func advises(s string) bool {
	return slices.ContainsFunc(advice, func(a string) bool { return strings.Contains(s, a) })
}

func hasHan(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return unicode.Is(unicode.Han, r) })
}

func TestClassesListsTheWholeTable(t *testing.T) {
	t.Parallel()
	listed := map[Class]bool{}
	for _, c := range Classes() {
		if listed[c] || !c.Valid() {
			t.Errorf("%s: listed twice %v, valid %v", c, listed[c], c.Valid())
		}
		listed[c] = true
	}
	for c := range classes {
		if !listed[c] {
			t.Errorf("%s is not listed", c)
		}
	}
}

func TestEachClassTellsThePersonWhatHappenedAndWhetherToAct(t *testing.T) {
	t.Parallel()
	seen := map[string]Class{}
	for _, c := range Classes() {
		for _, gaveUp := range []bool{false, true} {
			zh, en := c.Sentence("zh", gaveUp), c.Sentence("en", gaveUp)
			if !hasHan(zh) || !strings.HasSuffix(zh, "。") || strings.Count(zh, "。") != 1 {
				t.Errorf("%s: %q is not one Chinese sentence", c, zh)
			}
			if hasHan(en) || !strings.HasSuffix(en, ".") || strings.Count(en, ".") != 1 || !advises(en) {
				t.Errorf("%s: %q is not one English sentence that says whether to act", c, en)
			}
			if other := c.Sentence("fr", gaveUp); other != en {
				t.Errorf("%s: another language gets %q", c, other)
			}
			if gaveUp {
				continue
			}
			for _, s := range []string{zh, en} {
				if twin, taken := seen[s]; taken {
					t.Errorf("%s and %s share %q", c, twin, s)
				}
				seen[s] = c
			}
		}
	}
}

func TestAJobThatGaveUpDoesNotPromiseToGoOn(t *testing.T) {
	t.Parallel()
	for _, c := range Classes() {
		zh, en := c.Sentence("zh", true), c.Sentence("en", true)
		for _, promise := range []string{"by itself", "goes on", "need not do anything", "is kept until"} {
			if strings.Contains(en, promise) {
				t.Errorf("%s: %q promises to go on", c, en)
			}
		}
		for _, promise := range []string{"自动", "无需操作", "已保留"} {
			if strings.Contains(zh, promise) {
				t.Errorf("%s: %q promises to go on", c, zh)
			}
		}
		if c.Permanent() && (c.Sentence("en", false) != en || c.Sentence("zh", false) != zh) {
			t.Errorf("%s: a permanent error says less once the job has given up", c)
		}
	}
}

func TestAClassOutsideTheTableIsTreatedAsInternal(t *testing.T) {
	t.Parallel()
	for _, c := range []Class{"", "made_up", "Internal"} {
		if c.Valid() || c.Permanent() || c.Transient() {
			t.Errorf("%q: valid %v, permanent %v, transient %v", c, c.Valid(), c.Permanent(), c.Transient())
		}
		for _, lang := range []string{"zh", "en"} {
			if got, want := c.Sentence(lang, false), ClassInternal.Sentence(lang, false); got != want {
				t.Errorf("%q: %q, want %q", c, got, want)
			}
		}
	}
}

func TestTransientErrorsAreThoseOfOthers(t *testing.T) {
	t.Parallel()
	want := []Class{ClassUnavailable, ClassRateLimited, ClassOverloaded, ClassAuth, ClassQuota, ClassStorage}
	for _, c := range Classes() {
		if got := c.Transient(); got != slices.Contains(want, c) {
			t.Errorf("%s: transient %v", c, got)
		}
		if c.Transient() && c.Permanent() {
			t.Errorf("%s is both transient and permanent", c)
		}
	}
}
