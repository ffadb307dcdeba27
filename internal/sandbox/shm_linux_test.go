package sandbox

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

// sharedMemory lists the ids of the segments in the kernel.
func sharedMemory(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 {
			ids = append(ids, f[1])
		}
	}
	return ids
}

func TestPostgresLeavesNoSharedMemoryBehind(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*Server) error{
		"closed":              (*Server).Close,
		"killed, then closed": func(s *Server) error { return errors.Join(s.Kill(), s.Close()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := started(t, StartPostgres, nil)
			b, err := os.ReadFile(s.path("data/postmaster.pid"))
			if err != nil {
				t.Fatal(err)
			}
			fields := strings.Fields(strings.Split(string(b), "\n")[6])
			id := fields[1]
			if !slices.Contains(sharedMemory(t), id) {
				t.Fatalf("segment %s is not there while the server runs", id)
			}
			if err := end(s); err != nil {
				t.Fatal(err)
			}
			if slices.Contains(sharedMemory(t), id) {
				t.Errorf("segment %s is there after the end", id)
			}
		})
	}
}
