//go:build !linux

package chaos

import (
	"errors"

	"evalq/internal/sandbox"
)

const noLimit = 0

func limitFiles(_ *sandbox.Server, size uint64) error {
	if size == noLimit {
		return nil
	}
	return errors.New("only Linux can limit the files of a server that runs")
}
