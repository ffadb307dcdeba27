package folder

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestAFolderThatOthersMayWriteInIsRefusedAndOneThatTheyMayReadIsTold(t *testing.T) {
	t.Parallel()
	for mode, want := range map[os.FileMode]struct{ refused, readable bool }{
		0o700: {}, 0o755: {readable: true}, 0o750: {readable: true}, 0o711: {readable: true},
		0o770: {true, true}, 0o777: {true, true}, 0o720: {true, false}, 0o702: {true, false},
	} {
		if own := os.Getuid(); own != 0 && own == os.Getgid() && mode&0o007 == 0 {
			continue // the group is the user's alone
		}
		dir := filepath.Join(t.TempDir(), "data")
		if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, mode)); err != nil {
			t.Fatal(err)
		}
		if err := Make(dir); errors.Is(err, ErrWritable) != want.refused || err != nil && !strings.Contains(err.Error(), "chmod go-w") {
			t.Errorf("%o: %v", mode, err)
		}
		if _, readable, err := Readable(dir); err != nil || readable != want.readable {
			t.Errorf("%o: readable is %v, %v", mode, readable, err)
		}
	}
	made := filepath.Join(t.TempDir(), "a", "b")
	if err := Make(made); err != nil {
		t.Fatal(err)
	}
	if _, readable, err := Readable(made); err != nil || readable {
		t.Errorf("a folder that was made is readable: %v, %v", readable, err)
	}
}

func TestALinkOrAPipeInThePlaceOfAFileIsNotOpened(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	link, dangling, pipe := filepath.Join(dir, "link"), filepath.Join(dir, "dangling"), filepath.Join(dir, "pipe")
	if err := errors.Join(
		os.WriteFile(victim, []byte("precious"), 0o644), os.Symlink(victim, link),
		os.Symlink(filepath.Join(dir, "new"), dangling), syscall.Mkfifo(pipe, 0o600),
	); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{link, dangling, pipe, dir} {
		if f, err := OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_RDWR); err == nil {
			f.Close()
			t.Errorf("%s was opened", name)
		}
		if CheckFile(name) == nil {
			t.Errorf("%s was taken for a file", name)
		}
	}
	if text, err := os.ReadFile(victim); string(text) != "precious" {
		t.Errorf("the file behind the link is %q, %v", text, err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "new")); err == nil {
		t.Error("a file was made behind a link")
	}
	if err := errors.Join(CheckFile(victim), CheckFile(filepath.Join(dir, "none"))); err != nil {
		t.Error(err)
	}
}
