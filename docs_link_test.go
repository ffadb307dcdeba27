package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	fence   = regexp.MustCompile("(?ms)^```.*?^```")
)

// anchor is the fragment by which a heading is linked to.
func anchor(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			return unicode.ToLower(r)
		}
		return -1
	}, title)
}

func TestEveryLinkInTheDocumentsLeadsSomewhere(t *testing.T) {
	t.Parallel()
	all := pages(t)
	for name, text := range all {
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			target, fragment, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			path := name
			if target != "" {
				path = filepath.Join(filepath.Dir(name), target)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: the link %q: %v", name, m[1], err)
				continue
			}
			var anchors []string
			for _, h := range heading.FindAllStringSubmatch(all[filepath.ToSlash(path)], -1) {
				anchors = append(anchors, anchor(h[1]))
			}
			if fragment != "" && !slices.Contains(anchors, fragment) {
				t.Errorf("%s: the link %q: there is no such heading", name, m[1])
			}
		}
	}
}

// testSources is all test code and the shared suites, as one text.
func testSources(t *testing.T) string {
	t.Helper()
	return sourcesOf(t, func(name string) bool {
		return strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "internal/ledger/ledgertest/")
	})
}

// programSources is all code but that of the tests, as one text.
func programSources(t *testing.T) string {
	t.Helper()
	return sourcesOf(t, func(name string) bool { return strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") })
}

// sourcesOf is the text of all files whose names are wanted.
func sourcesOf(t *testing.T, wanted func(name string) bool) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != "." && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		if !d.IsDir() && wanted(filepath.ToSlash(name)) {
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			all.Write(b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

func TestEveryTestThatTheDocumentsNameExists(t *testing.T) {
	t.Parallel()
	sources, named := testSources(t), 0
	for name, text := range pages(t) {
		for _, m := range regexp.MustCompile("`((?:Test|Fuzz|Example)[A-Z]\\w*)(?:/([^`]+))?`").FindAllStringSubmatch(text, -1) {
			named++
			if !strings.Contains(sources, "func "+m[1]+"(") {
				t.Errorf("%s: there is no test %s", name, m[1])
			}
			if sub := strings.ReplaceAll(m[2], "_", " "); sub != "" && !strings.Contains(sources, `"`+sub+`"`) {
				t.Errorf("%s: there is no subtest %q of %s", name, sub, m[1])
			}
		}
	}
	if named == 0 {
		t.Fatal("no test is named anywhere")
	}
}
