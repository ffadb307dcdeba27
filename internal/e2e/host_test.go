package e2e

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// emptyRoot is a folder with nothing but the program and the libraries that it was
// linked to, as in an image made from scratch.
func emptyRoot(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	copyTo(t, binary, filepath.Join(root, "evalq"))
	linked, err := exec.CommandContext(t.Context(), "ldd", binary).Output()
	if err != nil { // not a dynamic executable
		return root
	}
	for word := range strings.FieldsSeq(string(linked)) {
		if filepath.IsAbs(word) {
			copyTo(t, word, filepath.Join(root, word))
		}
	}
	return root
}

func copyTo(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		t.Fatal(err)
	}
}

// inRoot runs the program with root as its whole file system.
func inRoot(t *testing.T, root string, environ []string, args ...string) (out string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/evalq", args...)
	cmd.Dir, cmd.Env = "/", append([]string{"HOME=/", "ZONEINFO=/nowhere"}, environ...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	}
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	err := cmd.Run()
	if errors.Is(err, syscall.EPERM) {
		if os.Getenv("CI") != "" {
			t.Fatal(err) // a test that does not run is a failure there
		}
		t.Skip("this user may not change the root folder of a process")
	}
	return text.String(), cmd.ProcessState.ExitCode()
}

func TestWithoutTimeZonesOnTheMachineTheProgramHasItsOwn(t *testing.T) {
	t.Parallel()
	root := emptyRoot(t)
	shanghai := "mysql://eva:pw@127.0.0.1:1/platform?loc=Asia%2FShanghai"
	out, code := inRoot(t, root, []string{"TZ=Asia/Shanghai"}, "doctor", "--platform-db", shanghai)
	if code != 1 || strings.Contains(out, "zone") || !strings.Contains(out, "connect to database") {
		t.Errorf("exit code %d, want that both zones are known and only the database is away:\n%s", code, out)
	}
	out, code = inRoot(t, root, []string{"TZ=Asia/Shangai"}, "serve", "--listen", "127.0.0.1:0")
	if code != 2 || !strings.Contains(out, `TZ is "Asia/Shangai"`) {
		t.Errorf("exit code %d, want 2 and the zone that is not known:\n%s", code, out)
	}
	out, code = inRoot(t, root, nil, "serve", "--listen", "127.0.0.1:0", "--platform-db", strings.ReplaceAll(shanghai, "Shanghai", "Shangai"))
	if code != 1 || !strings.Contains(out, `"loc" of the URL is "Asia/Shangai"`) || strings.Contains(out, "pw@") {
		t.Errorf("exit code %d, want 1 and the parameter and the zone:\n%s", code, out)
	}
}
