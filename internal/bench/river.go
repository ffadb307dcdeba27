package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"evalq/internal/sandbox"
)

// addRiver builds the program that calls River's Insert and adds it, on a
// database of its own on the server.
func (w *world) addRiver(ctx context.Context, c AcceptConfig, server *sandbox.Server) error {
	if c.Peers == "" {
		w.notes = append(w.notes, "River's Insert is left out: name the folder bench/peers of evalq's source with --peers.")
		return nil
	}
	c.Report("building River's Insert")
	dir, err := os.MkdirTemp(c.Dir, "evalq-bench-")
	if err != nil {
		return err
	}
	w.later(func() error { return os.RemoveAll(dir) })
	program := filepath.Join(dir, "river-insert")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./river-insert")
	build.Dir = c.Peers
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build River's Insert in %q: %w: %s", c.Peers, err, bytes.TrimSpace(out))
	}
	url, err := server.CreateDatabase(ctx, "river")
	if err != nil {
		return err
	}
	w.contenders = append(w.contenders, contender{riverName, func(ctx context.Context, callers int, length time.Duration) (sample, error) {
		return runRiver(ctx, program, url, callers, length)
	}})
	return nil
}

// runRiver gives the URL in the environment, where others cannot read it.
func runRiver(ctx context.Context, program, url string, callers int, length time.Duration) (sample, error) {
	cmd := exec.CommandContext(ctx, program, "--callers", strconv.Itoa(callers), "--seconds", strconv.FormatFloat(length.Seconds(), 'f', -1, 64))
	cmd.Env = append(os.Environ(), "DATABASE_URL="+url)
	out, err := cmd.Output()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return sample{}, fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
	}
	if err != nil {
		return sample{}, err
	}
	var result struct {
		Seconds float64   `json:"seconds"`
		Micros  []float64 `json:"micros"`
	}
	if err := json.Unmarshal(out, &result); err != nil {
		return sample{}, fmt.Errorf("read its result: %w", err)
	}
	return sample{result.Seconds, result.Micros}, nil
}
