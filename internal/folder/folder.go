// Package folder opens the files of a data folder so that other users of the
// machine can neither put files of theirs in their place nor read them.
package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Modes of a folder's permissions.
const (
	othersWrite = 0o022
	othersRead  = 0o055
)

// ErrWritable means that other users may write in a folder.
var ErrWritable = errors.New("other users of this machine may write in it, and so replace the ledger")

// Make makes a folder that its owner alone can use, and the folders above it. One
// that exists is refused with ErrWritable when its group or others may write in it.
func Make(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("%w: choose a folder that can be written with --data-dir", err)
	}
	mode, open, err := permissions(dir)
	if err == nil && open&othersWrite != 0 {
		err = fmt.Errorf("%w (its mode is %04o): take that from them with `chmod go-w`, or choose a folder inside it, which is made for its owner alone, with --data-dir",
			ErrWritable, mode)
	}
	return err
}

// Readable reports whether other users may look into a folder, and its permissions.
func Readable(dir string) (fs.FileMode, bool, error) {
	mode, open, err := permissions(dir)
	return mode, open&othersRead != 0, err
}

// permissions are those of a folder, and the part of them that other users have. A
// group of the owner's own number is the owner's alone, as many systems make one for
// each user; that of root is not.
func permissions(dir string) (mode, open fs.FileMode, err error) {
	info, err := os.Stat(dir)
	if err != nil {
		return 0, 0, err
	}
	mode = info.Mode().Perm()
	if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Uid == s.Gid && s.Uid != 0 {
		return mode, mode & 0o007, nil
	}
	return mode, mode & 0o077, nil
}

// OpenFile is os.OpenFile, with the mode 0600 for a new file, that opens regular
// files alone and follows no symbolic link in the last part of the name.
func OpenFile(name string, flag int) (*os.File, error) {
	f, err := os.OpenFile(name, flag|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600) // a pipe would wait for its other end
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%q is a symbolic link: remove it; to keep the data elsewhere, name that folder in --data-dir", name)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%q is no regular file", name)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// CheckFile refuses what OpenFile would refuse of a file that exists.
func CheckFile(name string) error {
	info, err := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("%q is a symbolic link: remove it; to keep the data elsewhere, name that folder in --data-dir", name)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%q is no regular file", name)
	}
	return nil
}
