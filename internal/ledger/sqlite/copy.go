package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"evalq/internal/folder"
)

// spare is the room that a copy leaves free on the disk: the start after it needs
// some.
const spare = 64 << 20

// copyLedger copies the file of a ledger, and the log beside it if there is one. It
// reads no more than the files held when it began, and begins only when the disk has
// room for them.
func copyLedger(ctx context.Context, from, to string) error {
	if err := checkHeader(from, ""); err != nil {
		return unfit(err)
	}
	var size int64
	for _, end := range fileEnds[:2] {
		info, err := os.Stat(from + end)
		switch {
		case errors.Is(err, os.ErrNotExist) && end != "":
		case err != nil:
			return err
		case !info.Mode().IsRegular():
			return fmt.Errorf("%w: %q is no regular file", ErrUnfit, from+end)
		default:
			size += info.Size()
		}
	}
	if err := checkRoom(filepath.Dir(to), size); err != nil {
		return err
	}
	for _, end := range fileEnds[:2] {
		err := copyFile(ctx, from+end, to+end)
		if err != nil && (end == "" || !errors.Is(err, os.ErrNotExist)) {
			return err
		}
	}
	return nil
}

// checkRoom refuses a copy that the disk of a folder has no room for.
func checkRoom(dir string, size int64) error {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return fmt.Errorf("look for room in %q: %w", dir, err)
	}
	free := uint64(disk.Bavail) * uint64(disk.Bsize)
	if need := uint64(size) + spare; need > free {
		return fmt.Errorf("the copy needs %d MB in %q and %d MB are free: make room, or choose another folder with --data-dir",
			need>>20, dir, free>>20)
	}
	return nil
}

// copyFile copies what a regular file holds now. It ends early when ctx does.
func copyFile(ctx context.Context, from, to string) error {
	in, err := os.OpenFile(from, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would wait for its writer
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: %q is no regular file", ErrUnfit, from)
	}
	out, err := folder.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, &bounded{ctx, io.LimitReader(in, info.Size())})
	return errors.Join(err, out.Close())
}

// bounded reads until its context ends.
type bounded struct {
	ctx context.Context
	io.Reader
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.ctx.Err() != nil {
		return 0, context.Cause(b.ctx)
	}
	return b.Reader.Read(p)
}
