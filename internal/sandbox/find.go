package sandbox

import (
	"cmp"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// ErrNotInstalled is in the error of a start when the server's program is not
// on this machine. The error says what to install.
var ErrNotInstalled = errors.New("it is not installed")

// notInstalled tells people what to do about it.
func notInstalled(advice string) error {
	return fmt.Errorf("%w: install it (%s)", ErrNotInstalled, advice)
}

// find returns the path of a program: from PATH, else from the folder with the
// highest version in its name among those that the patterns match.
func find(name string, patterns ...string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return filepath.Abs(path)
	}
	var found []string
	for _, pattern := range patterns {
		matches, err := filepath.Glob(filepath.Join(pattern, name))
		if err != nil {
			return "", err
		}
		found = append(found, matches...)
	}
	slices.SortStableFunc(found, func(a, b string) int { return cmp.Compare(version(b), version(a)) })
	for _, path := range found {
		if path, err := exec.LookPath(path); err == nil {
			return path, nil
		}
	}
	return "", ErrNotInstalled
}

var digits = regexp.MustCompile(`\d+`)

func version(path string) int {
	n, _ := strconv.Atoi(digits.FindString(path)) // none is the oldest
	return n
}
