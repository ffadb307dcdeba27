package sandbox

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

const (
	loopback = "127.0.0.1"
	// Ports are taken from below those that systems give to outgoing
	// connections: one of these could take the port while its server is down
	// for a moment, or even connect to itself there.
	lowPort, highPort = 20_000, 32_000
)

// account is a user of this system by number.
type account struct {
	name     string
	uid, gid uint32
}

// makeFolder makes the server's folder below parent and gives it to user.
func makeFolder(parent string, user *account) (string, error) {
	parents := []string{parent}
	if parent == "" {
		parents = []string{os.TempDir(), "/tmp", "/var/tmp"}
	}
	var errs []error
	for _, parent := range parents {
		parent, err := filepath.Abs(parent)
		if err == nil {
			err = passable(parent, user)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		folder, err := os.MkdirTemp(parent, "evalq-")
		if err != nil {
			errs = append(errs, err)
			continue
		}
		return folder, give(folder, user)
	}
	return "", errors.Join(errs...)
}

// give makes user the owner of a file or folder of ours.
func give(name string, user *account) error {
	if user == nil {
		return nil
	}
	return os.Chown(name, int(user.uid), int(user.gid))
}

// passable returns an error when user may not pass through dir or a folder
// above it.
func passable(dir string, user *account) error {
	if user == nil {
		return nil
	}
	dir, err := filepath.EvalSymlinks(dir)
	for err == nil {
		if err = open(dir, user); dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	return err
}

// open returns an error when user may not pass through dir itself. A temporary
// folder of ours that is closed, as new ones are, is opened for passing, not
// for listing.
func open(dir string, user *account) error {
	info, err := os.Stat(dir)
	if err != nil || mayPass(info, user) {
		return err
	}
	if !isTemporary(dir) || !isOurs(info) {
		return fmt.Errorf("user %q, whom it runs as because root may not run it, cannot pass through %q: choose another folder", user.name, dir)
	}
	return os.Chmod(dir, info.Mode().Perm()|0o011)
}

// isTemporary says whether dir is below the system's folder for temporary files.
func isTemporary(dir string) bool {
	temp, err := filepath.EvalSymlinks(os.TempDir())
	if err != nil {
		return false
	}
	rest, err := filepath.Rel(temp, dir)
	return err == nil && rest != "." && filepath.IsLocal(rest)
}

// freePort returns a loopback port on which nobody listened a moment ago.
func freePort() (int, error) {
	for range 200 {
		if port := lowPort + rand.IntN(highPort-lowPort); isFree(port) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("found no free port from %d to %d", lowPort, highPort)
}

func isFree(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}
