package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pressly/goose/v3/database"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"evalq/internal/ledger/migration"
	"evalq/tasks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a writer on a real SQLite file with one table of numbers.
type bench struct {
	*writer
	t    *testing.T
	path string
	mu   sync.Mutex
	runs map[context.Context][]int // the writes tried in each transaction
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, path: filepath.Join(t.TempDir(), "w.db"), runs: map[context.Context][]int{}}
	db := openFile(t, b.path)
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(`CREATE TABLE numbers (n INTEGER PRIMARY KEY, CHECK (n >= 0))`); err != nil {
		t.Fatal(err)
	}
	b.writer = newWriter(db, new(SQLite()), &dbClock{now: time.Now})
	t.Cleanup(b.close)
	return b
}

// openFile opens a database that gives up at once when another connection has
// locked it.
func openFile(t *testing.T, path string) *sql.DB {
	t.Helper()
	q := url.Values{"_pragma": {"journal_mode(WAL)", "busy_timeout(0)"}}
	db, err := sql.Open("sqlite", "file:"+path+"?"+q.Encode())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// insert is a write that stores n.
func (b *bench) insert(n int) func(*txn) error {
	return func(t *txn) error {
		b.mu.Lock()
		b.runs[t.ctx] = append(b.runs[t.ctx], n)
		b.mu.Unlock()
		_, err := t.exec(`INSERT INTO numbers (n) VALUES (?)`, n)
		return err
	}
}

// block keeps the writer at work until release is called, so that a batch
// gathers behind it.
func (b *bench) block() (release func()) {
	b.t.Helper()
	started, gate, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- b.do(context.Background(), func(*txn) error {
			close(started)
			<-gate
			return nil
		})
	}()
	<-started
	release = sync.OnceFunc(func() {
		close(gate)
		if err := <-done; err != nil {
			b.t.Errorf("blocking write: %v", err)
		}
	})
	b.t.Cleanup(release)
	return release
}

// gather starts every write and waits until all are in line, in this order.
func (b *bench) gather(writes ...func(*txn) error) (results func() []error) {
	b.t.Helper()
	errs := make([]error, len(writes))
	var wg sync.WaitGroup
	for i, apply := range writes {
		wg.Go(func() { errs[i] = b.do(context.Background(), apply) })
		b.awaitLine(i + 1)
	}
	return func() []error { wg.Wait(); return errs }
}

func (b *bench) awaitLine(n int) {
	b.t.Helper()
	b.eventually(fmt.Sprintf("%d writes are in line", n), func() bool {
		b.writer.mu.Lock()
		defer b.writer.mu.Unlock()
		return len(b.queue) == n
	})
}

func (b *bench) eventually(what string, ok func() bool) {
	b.t.Helper()
	deadline := time.After(30 * time.Second)
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-deadline:
			b.t.Fatalf("in 30 s it did not happen that %s", what)
		case <-look.C:
		}
	}
}

// stored reads through a connection of its own, which sees commits alone.
func (b *bench) stored() []int {
	b.t.Helper()
	rows, err := openFile(b.t, b.path).Query(`SELECT n FROM numbers ORDER BY n`)
	if err != nil {
		b.t.Fatal(err)
	}
	defer rows.Close()
	out := []int{}
	for rows.Next() {
		var n int
		if err := rows.Scan(&n); err != nil {
			b.t.Fatal(err)
		}
		out = append(out, n)
	}
	return out
}

func (b *bench) wantStored(want ...int) {
	b.t.Helper()
	if got := b.stored(); !slices.Equal(got, want) {
		b.t.Errorf("stored %v, want %v", got, want)
	}
}

func TestWritesThatWaitTogetherShareACommit(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	release := b.block()
	const callers = maxBatch + 44
	var wg sync.WaitGroup
	for n := range callers {
		wg.Go(func() {
			if err := b.do(t.Context(), b.insert(n)); err != nil {
				t.Errorf("write %d: %v", n, err)
			}
		})
	}
	b.awaitLine(callers)
	release()
	wg.Wait()
	if len(b.runs) != 2 {
		t.Errorf("%d callers took %d commits, want 2", callers, len(b.runs))
	}
	for _, writes := range b.runs {
		if len(writes) > maxBatch {
			t.Errorf("a commit of %d writes, at most %d are allowed", len(writes), maxBatch)
		}
	}
	if got := b.stored(); len(got) != callers {
		t.Errorf("%d rows stored, want %d", len(got), callers)
	}
}

func TestABadWriteOfABatchFailsItsCallerOnly(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bad  func(*txn) error
		want string
	}{
		"a row that is there already": {func(t *txn) error { _, err := t.exec(`INSERT INTO numbers (n) VALUES (1), (1)`); return err }, "UNIQUE"},
		"a row that a check refuses":  {func(t *txn) error { _, err := t.exec(`INSERT INTO numbers (n) VALUES (-1)`); return err }, "CHECK"},
		"an error after a change": {func(t *txn) error {
			if _, err := t.exec(`INSERT INTO numbers (n) VALUES (99)`); err != nil {
				return err
			}
			return errors.New("changed my mind")
		}, "changed my mind"},
		"a statement that is no SQL": {func(t *txn) error { _, err := t.exec(`INSERT NONSENSE`); return err }, "prepare"},
		"a panic after a change": {func(t *txn) error {
			if _, err := t.exec(`INSERT INTO numbers (n) VALUES (99)`); err != nil {
				return err
			}
			panic("boom")
		}, "panic in a write: boom"},
		"a panic over open rows": {func(t *txn) error {
			rows, err := t.query(`SELECT n FROM numbers`)
			if err != nil {
				return err
			}
			defer rows.Close()
			panic("boom")
		}, "panic in a write: boom"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			release := b.block()
			ran := 0
			afterwards := func(t *txn) error { t.after = append(t.after, func() { ran++ }); return nil }
			bad := func(t *txn) error { _ = afterwards(t); return c.bad(t) }
			results := b.gather(b.insert(1), bad, afterwards, b.insert(2))
			release()
			errs := results()
			for i, err := range errs {
				if i == 1 && (err == nil || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("the bad write got %v, which does not say %q", err, c.want)
				} else if i != 1 && err != nil {
					t.Errorf("write %d of the batch got %v", i, err)
				}
			}
			b.wantStored(1, 2)
			if ran != 1 {
				t.Errorf("%d hooks ran after the commit, want that of the good write, once", ran)
			}
			if err := b.do(t.Context(), b.insert(3)); err != nil {
				t.Errorf("the next write: %v", err)
			}
		})
	}
}

func TestARefusalLeavesItsBatchAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	release := b.block()
	no := errors.New("no such job")
	results := b.gather(b.insert(1), func(*txn) error { return fmt.Errorf("look: %w", refuse(no)) }, b.insert(2))
	release()
	if errs := results(); errs[0] != nil || errs[1] != no || errs[2] != nil {
		t.Errorf("got %v", errs)
	}
	b.wantStored(1, 2)
	if len(b.runs) != 1 {
		t.Errorf("the batch took %d transactions, want one", len(b.runs))
	}
}

func TestACallerWhoGaveUpBeforeTheBatchFormedHasDoneNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	release := b.block()
	bored := errors.New("bored")
	ctx, cancel := context.WithCancelCause(t.Context())
	result := make(chan error, 1)
	go func() { result <- b.do(ctx, b.insert(1)) }()
	b.awaitLine(1)
	cancel(bored)
	if err := <-result; !errors.Is(err, bored) || errors.Is(err, tasks.ErrOutcomeUnknown) {
		t.Errorf("got %v, want that the caller was bored and nothing else", err)
	}
	release()
	if err := b.do(t.Context(), b.insert(2)); err != nil {
		t.Fatal(err)
	}
	b.wantStored(2)
	if err := b.do(ctx, b.insert(3)); !errors.Is(err, bored) && !errors.Is(err, context.Canceled) {
		t.Errorf("a context that had ended: %v", err)
	}
	b.wantStored(2)
}

func TestACommitThatHasBegunGoesOnWithoutItsCaller(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	begun, gate := make(chan struct{}), make(chan struct{})
	result, announced := make(chan error, 1), make(chan struct{})
	go func() {
		result <- b.do(ctx, func(t *txn) error {
			close(begun)
			<-gate
			t.after = append(t.after, func() { close(announced) })
			return b.insert(1)(t)
		})
	}()
	<-begun
	cancel()
	if err := <-result; !errors.Is(err, tasks.ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(gate)
	<-announced // the others are told although the caller has gone
	b.wantStored(1)
}

func TestHooksRunWhenOthersSeeTheCommit(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var seen []int
	err := b.do(t.Context(), func(t *txn) error {
		t.after = append(t.after, func() { seen = b.stored() })
		return b.insert(1)(t)
	})
	if err != nil || !slices.Equal(seen, []int{1}) {
		t.Errorf("the hook saw %v; %v", seen, err)
	}
}

func TestCloseWaitsForWhatIsInLineAndRefusesTheRest(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	release := b.block()
	results := b.gather(b.insert(1), b.insert(2))
	closed := make(chan []int, 1)
	go func() {
		b.close()
		closed <- b.stored()
	}()
	b.eventually("the writer is shut", func() bool { b.writer.mu.Lock(); defer b.writer.mu.Unlock(); return b.shut })
	if err := b.do(t.Context(), b.insert(3)); !errors.Is(err, tasks.ErrUnavailable) {
		t.Errorf("a write after close: %v", err)
	}
	select {
	case <-closed:
		t.Error("close did not wait")
	default:
	}
	release()
	if got := <-closed; !slices.Equal(got, []int{1, 2}) {
		t.Errorf("when close returned, %v were stored", got)
	}
	for i, err := range results() {
		if err != nil {
			t.Errorf("write %d: %v", i, err)
		}
	}
}

func TestAnUnavailableDatabaseIsSaidAndTheWriterRecovers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if err := b.do(t.Context(), b.insert(1)); err != nil {
		t.Fatal(err)
	}
	other, err := openFile(t, b.path).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for n := 2; n < 5; n++ {
		if _, err := other.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
			t.Fatal(err)
		}
		if err := b.do(t.Context(), b.insert(-n)); !errors.Is(err, tasks.ErrUnavailable) {
			t.Errorf("while the database was locked: %v", err)
		}
		if _, err := other.ExecContext(t.Context(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
		if err := b.do(t.Context(), b.insert(n)); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	}
	b.wantStored(1, 2, 3, 4)
}

// TestWhatCallersAreToldIsWhatIsStored: under load, with callers who give up
// at random and a writer that closes in the middle.
func TestWhatCallersAreToldIsWhatIsStored(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const callers, each = 24, 40
	errs := make([]error, callers*each)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				n := c*each + i
				ctx, cancel := context.WithCancel(context.Background())
				if n%3 == 0 {
					go cancel()
				}
				errs[n] = b.do(ctx, b.insert(n))
				cancel()
				if n == callers*each/2 {
					go b.close()
				}
			}
		})
	}
	wg.Wait()
	b.close()
	stored := map[int]bool{}
	for _, n := range b.stored() {
		stored[n] = true
	}
	done := 0
	for n, err := range errs {
		switch {
		case err == nil:
			done++
			if !stored[n] {
				t.Errorf("write %d was confirmed and is not there", n)
			}
		case !errors.Is(err, tasks.ErrOutcomeUnknown) && stored[n]:
			t.Errorf("write %d got %v and is there", n, err)
		}
	}
	if done == 0 {
		t.Error("no write was done")
	}
}

// newLedger is a whole ledger on a SQLite file.
func newLedger(t *testing.T) *Ledger {
	t.Helper()
	path := filepath.Join(t.TempDir(), "l.db")
	write, read := openFile(t, path), openFile(t, path)
	write.SetMaxOpenConns(1)
	if err := migration.Up(t.Context(), write, database.DialectSQLite3); err != nil {
		t.Fatal(err)
	}
	l, err := New(t.Context(), write, read, SQLite(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// TestACallThatIsCutOffSharesNothingWithItsCommit is for the race detector: the
// commit that goes on must not write where the caller reads.
func TestACallThatIsCutOffSharesNothingWithItsCommit(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	for name, call := range map[string]func(context.Context) error{
		"bury":  func(ctx context.Context) error { _, err := l.Bury(ctx, "w"); return err },
		"ripen": func(ctx context.Context) error { _, err := l.Ripen(ctx); return err },
		"feed": func(ctx context.Context) error {
			_, err := l.Feed(ctx, tasks.Default, Window{PerUser: 1, Total: 1})
			return err
		},
		"begin": func(ctx context.Context) error {
			_, err := l.Begin(ctx, tasks.Delivery{Job: "x", Number: 1})
			return err
		},
		"accept": func(ctx context.Context) error {
			_, _, err := l.Accept(ctx, tasks.Request{Payload: tasks.EvaluationReport{UserID: 1, ReportID: 1}}, "test")
			return err
		},
	} {
		deadline := time.Now().Add(20 * time.Second)
		for cut := 0; cut < 20; {
			ctx, cancel := context.WithCancel(t.Context())
			go cancel()
			if errors.Is(call(ctx), tasks.ErrOutcomeUnknown) {
				cut++
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s was cut off %d times only", name, cut)
			}
		}
	}
}
