package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const platformDir = "mq/testdata/platform"

// platformFiles are those of the program of the platform's shape, before the guide
// or after it, by their names.
func platformFiles(t *testing.T, when string) map[string]string {
	t.Helper()
	root := filepath.Join(platformDir, when)
	out := map[string]string{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		inside, _ := filepath.Rel(root, name)
		out[filepath.ToSlash(inside)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 10 {
		t.Fatalf("%s has %d files", root, len(out))
	}
	return out
}

func platformProgram(t *testing.T, when string) string {
	t.Helper()
	var b strings.Builder
	for _, text := range platformFiles(t, when) {
		b.WriteString(text)
		b.WriteString("\n")
	}
	return b.String()
}

func TestTheChangesOfTheGuideLeadFromThePlatformBeforeToTheOneAfter(t *testing.T) {
	t.Parallel()
	before, after := platformProgram(t, "before"), platformProgram(t, "after")
	blocks := regexp.MustCompile("(?s)```diff\n(.*?)```").FindAllStringSubmatch(read(t, "docs/migrating.md"), -1)
	if len(blocks) < 10 {
		t.Fatalf("the guide shows %d changes", len(blocks))
	}
	for _, b := range blocks {
		var old, changed strings.Builder
		for _, line := range strings.SplitAfter(b[1], "\n") {
			if line == "" {
				continue
			}
			if line[0] != '+' {
				old.WriteString(line[1:])
			}
			if line[0] != '-' {
				changed.WriteString(line[1:])
			}
		}
		if !strings.Contains(before, old.String()) {
			t.Errorf("the platform before has not:\n%s", old.String())
		}
		if !strings.Contains(after, changed.String()) {
			t.Errorf("the platform after has not:\n%s", changed.String())
		}
	}
	for name, text := range platformFiles(t, "before") {
		if strings.HasPrefix(name, "internal/mq/") || strings.HasPrefix(name, "go.") {
			continue
		}
		if _, kept := platformFiles(t, "after")[name]; !kept {
			t.Errorf("%s is gone: %d bytes", name, len(text))
		}
	}
}

func TestTheGuideCountsItsChanges(t *testing.T) {
	t.Parallel()
	before, after := platformFiles(t, "before"), platformFiles(t, "after")
	files, in, gone := 0, 0, 0
	for name, text := range after {
		if strings.HasPrefix(name, "go.") || before[name] == text {
			continue
		}
		more, less := changes(before[name], text)
		files, in, gone = files+1, in+more, gone+less
	}
	want := fmt.Sprintf("%d files: %d lines come in and %d go.", files, in, gone)
	if !strings.Contains(read(t, "docs/migrating.md"), want) {
		t.Errorf("the guide does not say %q", want)
	}
}

// changes counts the lines that come in and go, by the longest common subsequence.
func changes(before, after string) (in, gone int) {
	a, b := lines(before), lines(after)
	common := make([]int, len(b)+1)
	for _, x := range a {
		diagonal := 0
		for j, y := range b {
			above := common[j+1]
			if x == y {
				common[j+1] = diagonal + 1
			} else {
				common[j+1] = max(above, common[j])
			}
			diagonal = above
		}
	}
	same := common[len(b)]
	return len(b) - same, len(a) - same
}

func lines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// TestTheImageOfThePlatformSeesItsWholeContext: docker build has nothing outside it.
func TestTheImageOfThePlatformSeesItsWholeContext(t *testing.T) {
	t.Parallel()
	after := platformFiles(t, "after")
	for _, m := range regexp.MustCompile(`(?m)=> (\.\S*)`).FindAllStringSubmatch(after["go.mod"], -1) {
		inside := strings.TrimPrefix(m[1], "./")
		copied := strings.Index(after["Dockerfile"], "COPY "+inside+" "+inside)
		if strings.HasPrefix(m[1], "..") || copied < 0 || copied > strings.Index(after["Dockerfile"], "go mod download") {
			t.Errorf("go.mod replaces with %s, which is not in the image when its modules are read", m[1])
		}
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`)
	ours, theirs := version.FindStringSubmatch(read(t, "go.mod"))[1], version.FindStringSubmatch(after["go.mod"])[1]
	if ours != theirs || !strings.Contains(after["Dockerfile"], "golang:"+ours+"-alpine") {
		t.Errorf("evalq needs Go %s, the platform's go.mod has %s, and its Dockerfile is\n%s", ours, theirs, after["Dockerfile"])
	}
}
