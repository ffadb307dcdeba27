package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// asynq's archive script uses ZRANGE BYSCORE, which came with 6.2.
const minMajor, minMinor = 6, 2

// findBinary returns the absolute path of the server program after asking it
// for its version.
func findBinary(ctx context.Context, named string) (string, error) {
	if named != "" {
		path, err := exec.LookPath(named)
		if err != nil {
			return "", err
		}
		return checkBinary(ctx, path)
	}
	for _, name := range []string{"valkey-server", "redis-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return checkBinary(ctx, path)
		}
	}
	return "", ErrNoBinary
}

// versionPart is in "Redis server v=7.0.15 sha=…" and "Valkey server v=8.0.1 …".
var versionPart = regexp.MustCompile(`\bv=(\d+\.\d+[\w.-]*)`)

func checkBinary(ctx context.Context, path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("ask %q for its version: %w", path, err)
	}
	found := versionPart.FindSubmatch(out)
	if found == nil {
		return "", fmt.Errorf("%q is not a Redis or Valkey server: asked for its version it said %.80q", path, out)
	}
	if version := string(found[1]); !newEnough(version) {
		return "", fmt.Errorf("%q is version %s: evalq needs Redis %d.%d or newer, or Valkey; upgrade it, or use the embedded engine",
			path, version, minMajor, minMinor)
	}
	return path, nil
}

var majorMinor = regexp.MustCompile(`^(\d+)\.(\d+)`)

func newEnough(version string) bool {
	parts := majorMinor.FindStringSubmatch(version)
	if parts == nil {
		return false
	}
	major, err1 := strconv.Atoi(parts[1])
	minor, err2 := strconv.Atoi(parts[2])
	if err1 != nil || err2 != nil {
		return false
	}
	return major > minMajor || major == minMajor && minor >= minMinor
}

// maxSocketPath leaves a little of what the kernels allow (104 to 108 bytes).
const maxSocketPath = 100

// socketPath is in dir, or if that is too deep for a socket in a private folder
// among the temporary files, always the same for the same dir so that a later
// process finds the server. It makes that folder.
func socketPath(dir string) (string, error) {
	path, private, err := socketPlace(dir)
	if err == nil && private != "" {
		err = makePrivate(private)
	}
	return path, err
}

// socketPlace is socketPath without making anything. Private is the folder that
// the socket needs, empty when it is in dir.
func socketPlace(dir string) (path, private string, err error) {
	const name = "r.sock"
	if path := filepath.Join(dir, name); len(path) <= maxSocketPath {
		return path, "", nil
	}
	short := fmt.Sprintf("evalq-%d-%x", os.Getuid(), sha256.Sum256([]byte(dir)))[:28]
	for _, temp := range []string{os.TempDir(), "/tmp"} {
		private := filepath.Join(temp, short)
		if path := filepath.Join(private, name); len(path) <= maxSocketPath {
			return path, private, nil
		}
	}
	return "", "", errors.New("its path is too long for a socket, and so is that of the folder for temporary files: use a shorter one")
}

// makePrivate makes a folder that only we may enter. In a place where everybody
// may write, one that is there already counts only if it is just that.
func makePrivate(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() || info.Mode().Perm() != 0o700 || !isOurs(info) {
		return fmt.Errorf("%q is not a folder of mode 0700 that belongs to this user: remove it, or use a shorter folder for the data", dir)
	}
	return nil
}
