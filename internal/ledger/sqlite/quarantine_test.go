package sqlite_test

import (
	"fmt"
	"testing"

	"evalq/internal/ledger/sqlite"
	"evalq/tasks"
)

func TestTheQuarantineOfEachSourceIsBoundedInNumberAndBytes(t *testing.T) {
	t.Parallel()
	db, err := sqlite.Open(t.Context(), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var qs []tasks.Quarantined
	for i := range 10_500 {
		qs = append(qs, tasks.Quarantined{Source: "asynq", Queue: "default", TaskID: fmt.Sprint(i), Reason: "no JSON"})
	}
	kept, err := db.QuarantineMany(t.Context(), qs, make([][]byte, len(qs)), 0)
	if err != nil || kept != 10_000 {
		t.Errorf("%d kept, %v", kept, err)
	}
	if err := db.Quarantine(t.Context(), tasks.Quarantined{Source: "asynq", TaskID: "late"}, nil); err != nil {
		t.Error(err)
	}
	large := make([]byte, 1<<20)
	kept = 0
	for i := range 70 {
		n, err := db.QuarantineMany(t.Context(), []tasks.Quarantined{{Source: "mq", TaskID: fmt.Sprint(i)}}, [][]byte{large}, 0)
		if err != nil {
			t.Fatal(err)
		}
		kept += n
	}
	if kept != 64 {
		t.Errorf("%d MiB are kept, want 64", kept)
	}
	if _, open, err := db.InQuarantine(t.Context(), false, 1); err != nil || open != 10_064 {
		t.Errorf("%d open, %v", open, err)
	}
	if n, _, err := db.Dropped(t.Context()); err != nil || n != 507 {
		t.Errorf("%d dropped, %v", n, err)
	}
}
