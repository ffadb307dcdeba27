//go:build unix

package sandbox

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAServerThatIsNotInstalledSaysWhatToInstall(t *testing.T) {
	t.Parallel()
	if _, err := find("no-such-server", "/usr/lib/no-such-server/*/bin"); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("find: %v, want %v", err, ErrNotInstalled)
	}
	err := notInstalled(postgresAdvice)
	if !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), "apt-get install postgresql") {
		t.Errorf("the error is %q, want one that names the package", err)
	}
}

func TestTheNewestOfSeveralVersionsIsFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, v := range []string{"9", "15", "16"} {
		bin := filepath.Join(dir, "v"+v)
		if err := os.Mkdir(bin, 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o755)
		if v == "16" {
			mode = 0o644 // not a program
		}
		if err := os.WriteFile(filepath.Join(bin, "server-of-a-test"), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	got, err := find("server-of-a-test", filepath.Join(dir, "v*"))
	if want := filepath.Join(dir, "v15", "server-of-a-test"); err != nil || got != want {
		t.Errorf("find = %q, %v, want %q", got, err, want)
	}
}

func TestAStartThatFailsShowsTheLogAndLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]struct {
		args []string
		want string
	}{
		"PostgreSQL": {[]string{"-c", "no_such_setting=1"}, "no_such_setting"},
		"MariaDB":    {[]string{"--no-such-setting"}, "no-such-setting"},
		"Redis":      {[]string{"--no-such-setting", "1"}, "no-such-setting"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s, err := starters[name](t.Context(), &Config{Dir: dir, Args: bad.args})
			if err == nil {
				s.Close()
				t.Fatal("it started")
			}
			if !strings.Contains(err.Error(), bad.want) {
				t.Errorf("the error is %q, want %q of the log in it", err, bad.want)
			}
			mustBeEmpty(t, dir)
		})
	}
}

func mustBeEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("in the folder are %v, %v, want nothing", left, err)
	}
}

func TestAStartThatIsGivenUpLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, start := range starters {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, patience := range []time.Duration{0, time.Millisecond, 300 * time.Millisecond} {
				dir := t.TempDir()
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				s, err := start(ctx, &Config{Dir: dir})
				cancel()
				if err == nil { // it was faster
					err = s.Close()
				} else if errors.Is(err, context.DeadlineExceeded) {
					err = nil
				}
				if err != nil {
					t.Errorf("start within %v: %v, want %v", patience, err, context.DeadlineExceeded)
				}
				mustBeEmpty(t, dir)
			}
		})
	}
}

func TestPostgresStartsAgainAtOnceWhenOthersKilledItsParentAlone(t *testing.T) {
	t.Parallel()
	s := started(t, StartPostgres, nil)
	write(t, s, "kept")
	before := everyProcess(t, s)
	if len(before) < 3 {
		t.Fatalf("it has the processes %v, want children among them", before)
	}
	parent, err := os.FindProcess(s.PID())
	if err == nil {
		err = parent.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := read(t, s); got != "kept" {
		t.Errorf("after the restart it has %q, want %q", got, "kept")
	}
	awaitGone(t, before...)
}

func TestAServerMayBeKilledAndClosedTwiceAndByMany(t *testing.T) {
	t.Parallel()
	s := started(t, StartRedis, nil)
	done := make(chan error)
	for range 4 {
		go func() { done <- errors.Join(s.Kill(), s.Kill()) }()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if s.PID() != 0 {
		t.Errorf("PID after Kill = %d, want 0", s.PID())
	}
	for range 4 {
		go func() { done <- errors.Join(s.Restart(t.Context()), s.Stop()) }()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for range 4 {
		go func() { done <- s.Close() }()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestRedisStopsOrderlyAndKeepsWhatItHadNotSyncedYet(t *testing.T) {
	t.Parallel()
	s := started(t, StartRedis, nil)
	write(t, s, "kept")
	if err := errors.Join(s.Stop(), s.Restart(t.Context())); err != nil {
		t.Fatal(err)
	}
	if got := read(t, s); got != "kept" {
		t.Errorf("after the restart it has %q, want %q", got, "kept")
	}
}

func TestAFolderTooDeepForASocketIsRefusedInWords(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 100))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := StartRedis(t.Context(), &Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "too long for a unix socket") {
		t.Errorf("start Redis: %v, want that the path is too long", err)
	}
	mustBeEmpty(t, dir)
	// The others have no path of a socket to care about.
	for _, start := range []starter{StartPostgres, StartMariaDB} {
		write(t, started(t, start, &Config{Dir: dir}), "v")
	}
}

// Only root has another user run its server.
func TestAFolderClosedToTheServersUserIsOpenedOnlyIfItIsTemporary(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", filepath.Join(temp, "tmp"))
	other := &account{name: "somebody", uid: uint32(os.Getuid()) + 4242, gid: uint32(os.Getgid()) + 4242}
	for parent, want := range map[string]os.FileMode{"tmp": 0o711, "home": 0o700} {
		dir := filepath.Join(temp, parent, "closed")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		err := open(dir, other)
		if opened := want == 0o711; opened != (err == nil) || !opened && !strings.Contains(err.Error(), dir) {
			t.Errorf("below %q: %v", parent, err)
		}
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != want {
			t.Errorf("below %q its mode is %v, %v, want %v", parent, info.Mode(), err, want)
		}
	}
	if err := passable(filepath.Join(temp, "home", "closed"), other); err == nil {
		t.Error("a closed folder passes")
	}
}
