package main

import (
	"regexp"
	"strings"
	"testing"
)

// TestEachDefectHasItsTest: that the tests exist is seen to for all documents.
func TestEachDefectHasItsTest(t *testing.T) {
	t.Parallel()
	page := read(t, "docs/defects.md")
	rows := 0
	for line := range strings.Lines(page) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| ---") || strings.HasSuffix(cells[len(cells)-1], "shown by |") {
			continue
		}
		rows++
		if len(cells) != 3 || !strings.Contains(cells[2], "`Test") {
			t.Errorf("docs/defects.md: a row without a test: %s", line)
		}
	}
	if rows < 50 {
		t.Fatalf("docs/defects.md has %d rows", rows)
	}
	for _, m := range regexp.MustCompile(`func (TestAsynq[A-Z]\w*)\(`).FindAllStringSubmatch(testSources(t), -1) {
		if strings.HasPrefix(m[1], "TestAsynqmon") {
			continue
		}
		if !strings.Contains(page, "`"+m[1]+"`") {
			t.Errorf("docs/defects.md lacks %s", m[1])
		}
	}
}
