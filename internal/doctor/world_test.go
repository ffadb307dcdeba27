package doctor_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"evalq/internal/doctor"
	"evalq/internal/ledger"
	"evalq/internal/ledger/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit bounds what a test waits for.
const limit = 20 * time.Second

// examined has what the checks found, by their names.
type examined struct {
	t     *testing.T
	found []doctor.Finding
}

// examine is patient, unless cfg says otherwise: tests share their machine.
func examine(t *testing.T, s doctor.Subject, cfg *doctor.Config) examined {
	t.Helper()
	c := doctor.Config{}
	if cfg != nil {
		c = *cfg
	}
	if c.Patience == 0 {
		c.Patience = limit
	}
	return examined{t, doctor.Examine(t.Context(), s, &c)}
}

// want fails unless the check found something of the level that has the words in
// it, in what it found or in what to do.
func (e examined) want(check string, l doctor.Level, words ...string) {
	e.t.Helper()
	for _, f := range e.found {
		if f.Check != check || f.Level != l {
			continue
		}
		if l.AtLeast(doctor.Warning) && f.Do == "" {
			e.t.Errorf("%s does not say what to do: %+v", check, f)
		}
		text := f.What + " -> " + f.Do
		for _, w := range words {
			if !strings.Contains(text, w) {
				e.t.Errorf("%s does not say %q: %s", check, w, text)
			}
		}
		return
	}
	e.t.Errorf("%s did not find a %s; all that was found:\n%s", check, l, e)
}

func (e examined) wantNothingOf(check string) {
	e.t.Helper()
	for _, f := range e.found {
		if f.Check == check {
			e.t.Errorf("%+v", f)
		}
	}
}

func (e examined) String() string {
	var b strings.Builder
	for _, f := range e.found {
		b.WriteString(f.Check + " " + string(f.Level) + ": " + f.What + " -> " + f.Do + "\n")
	}
	return b.String()
}

// onRedis is a subject without a ledger.
func onRedis(rdb redis.UniversalClient) doctor.Subject {
	return doctor.Subject{Redis: rdb, RedisPlace: "redis://test"}
}

// do sends a command as a person would type it.
func do(t *testing.T, rdb redis.UniversalClient, line string) {
	t.Helper()
	var args []any
	for word := range strings.FieldsSeq(line) {
		args = append(args, word)
	}
	if err := rdb.Do(t.Context(), args...).Err(); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
}

// onLedger is a subject with a SQLite ledger in a new folder, and without a Redis.
func onLedger(t *testing.T, cfg *ledger.Config) (doctor.Subject, *sqlite.DB) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	db, err := sqlite.Open(context.Background(), dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return doctor.Subject{
		Kind: doctor.SQLite, Dir: dir, LedgerPlace: "SQLite", Database: db, Ledger: db.Ledger, Ready: db.Ready,
		RedisErr: doctor.ErrInside,
	}, db
}

// eventually asks until ok is true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(limit)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("after %v still not: %s", limit, what)
		}
	}
}
