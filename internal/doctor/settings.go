package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"evalq/internal/folder"
	"evalq/internal/secret"
)

// tokens notes an open door, which the settings refuse when other machines reach it,
// and tokens that can be guessed.
func (v *visit) tokens(context.Context) ([]Finding, error) {
	if v.Open {
		return one(note("no token is set: everybody on this machine is an operator", "set EVALQ_OPERATOR_TOKEN, unless nobody else uses this machine"))
	}
	var found []Finding
	for _, name := range slices.Sorted(maps.Keys(v.Tokens)) {
		if !secret.Strong(v.Tokens[name]) {
			found = append(found, warning(name+" is short or made of words: guesses of others from the same address, such as a proxy's, hold up its user too, and it may be guessed in the end",
				"make one with `openssl rand -hex 32`"))
		}
	}
	if found != nil {
		return found, nil
	}
	return one(fine("a token is needed to sign in, or nothing is served"))
}

// tls names what can be read and changed on its way.
func (v *visit) tls(context.Context) ([]Finding, error) {
	var found []Finding
	for _, p := range v.Plain {
		found = append(found, note(fmt.Sprintf("%s reaches %s without TLS: passwords and answers can be read on the way", p.Setting, p.Host),
			p.Remedy+", unless the network between is yours alone"))
	}
	if found == nil {
		return one(fine("what is reached on other machines is reached with TLS"))
	}
	return found, nil
}

// folder notes a data folder that is open to others. One that they can write in
// is refused at the start.
func (v *visit) folder(context.Context) ([]Finding, error) {
	if v.Dir == "" {
		return none()
	}
	mode, readable, err := folder.Readable(v.Dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return none()
	case err != nil:
		return nil, err
	case readable:
		return one(note(fmt.Sprintf("other users of this machine can look into %s (its mode is %04o): its files are their owner's alone, their names are not", v.Dir, mode),
			"`chmod go-rwx` it"))
	}
	return one(fine("it is its owner's alone"))
}
