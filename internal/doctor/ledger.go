package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"evalq/tasks"
)

// ledger is the gate of the checks that need a database.
func (v *visit) ledger(ctx context.Context) ([]Finding, error) {
	switch {
	case errors.Is(v.LedgerErr, ErrNoLedger):
		found := []Finding{note(v.LedgerErr.Error(), "")}
		disk, err := v.ledgerDisk(ctx)
		for i := range disk {
			disk[i].Check = "ledger.disk"
		}
		return append(found, disk...), err
	case v.LedgerErr != nil:
		return one(failure(v.LedgerErr.Error(), v.ledgerAdvice()))
	case v.Database == nil:
		return none()
	}
	settings, err := v.Database.Settings(ctx)
	if err != nil && refused(err) {
		return one(note("the settings of the database could not be read: "+err.Error(), ""))
	}
	if err != nil {
		return one(failure("the database does not answer: "+err.Error(), v.ledgerAdvice()))
	}
	v.settings = settings
	return one(fine("%s answers", v.LedgerPlace))
}

func (v *visit) ledgerAdvice() string {
	if v.Kind == SQLite {
		return "see that the folder is there and belongs to this user; when the file is damaged, keep a copy of it, restore a backup into an empty folder and start with that"
	}
	return "see that the database server runs, and that the URL in --ledger-url is right"
}

func (v *visit) ledgerSchema(ctx context.Context) ([]Finding, error) {
	have, want, err := v.Database.Schema(ctx)
	switch {
	case err != nil:
		return nil, err
	case have > want:
		return one(failure(fmt.Sprintf("the schema is version %d and this program knows %d: a newer evalq has changed it", have, want), "start that version or a newer one"))
	case have == 0:
		return one(note("the database has no ledger yet", "start `evalq serve`, which makes it"))
	case have < want:
		return one(warning(fmt.Sprintf("the schema is version %d, this program's is %d", have, want), "make a backup, then start `evalq serve` of this version, which brings it up to date; an older program then refuses it"))
	}
	return one(fine("version %d, as this program has it", have))
}

func (v *visit) ledgerWritable(ctx context.Context) ([]Finding, error) {
	if v.Ready == nil {
		return none()
	}
	err := v.Ready(ctx)
	switch {
	case err == nil && v.ReadyBy != "":
		return one(fine("the server at %s, which has the ledger open, says that it can be written", v.ReadyBy))
	case err == nil:
		return one(fine("it can be written"))
	case v.ReadyBy != "" && errors.Is(err, ErrNoCommit):
		return one(failure(fmt.Sprintf("the server at %s says that it cannot be written, so nothing is accepted", v.ReadyBy), "see that its disk is not full; the server's log says more"))
	case v.ReadyBy != "":
		return one(warning(fmt.Sprintf("another process has the ledger open, and at %s nobody says whether it can be written: %v", v.ReadyBy, err),
			"name the address of that process in --listen; see its log"))
	}
	return one(failure("it cannot be written, so nothing is accepted: "+err.Error(), "see that its disk is not full and the database takes writes"))
}

func (v *visit) ledgerClock(ctx context.Context) ([]Finding, error) {
	if v.Ledger == nil {
		return none()
	}
	if v.Kind == SQLite {
		return one(fine("SQLite has the clock of this machine"))
	}
	skew, err := v.Ledger.Skew(ctx)
	if err != nil {
		return nil, err
	}
	return one(skewed("the database", skew, "due times and waits in the ledger go by the database, those of Asynq and of the logs by the machine, so they contradict each other"))
}

func (v *visit) ledgerBackup(context.Context) ([]Finding, error) {
	if v.Kind == SQLite {
		return one(note("evalq does not know how old the newest backup is; what is not in it is gone with this disk", "`evalq backup FILE` makes one, also while a server runs"))
	}
	return one(note("evalq does not know how the database is backed up; what is not in a backup or on a replica is gone with its disk", "see that its backups have the tables evalq_…"))
}

// checker is a database whose pages can be looked through.
type checker interface {
	QuickCheck(ctx context.Context) (broken string, err error)
}

func (v *visit) ledgerIntegrity(ctx context.Context) ([]Finding, error) {
	db, can := v.Database.(checker)
	if !can {
		return none()
	}
	begin := v.cfg.Now()
	broken, err := db.QuickCheck(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return one(note(fmt.Sprintf("the file is too large to be looked through in %v", v.cfg.Now().Sub(begin).Round(time.Second)), "check a copy of it: `sqlite3 copy.db 'PRAGMA quick_check'`"))
	case err != nil:
		broken = err.Error()
	case broken == "":
		return one(fine("every page is in order"))
	}
	return one(failure("the file is damaged: "+broken, v.ledgerAdvice()))
}

func (v *visit) quarantine(ctx context.Context) ([]Finding, error) {
	if v.Ledger == nil {
		return none()
	}
	_, open, err := v.Ledger.InQuarantine(ctx, false, 1)
	if err != nil {
		return nil, err
	}
	dropped, last, err := v.Ledger.Dropped(ctx)
	if err != nil {
		return nil, err
	}
	if dropped > 0 && v.Ledger.Now().Sub(last) < recent {
		return one(warning(fmt.Sprintf("%s found no room in the quarantine, the last at %s; %d are in it, and one source may have 10,000 or 64 MiB open", amount(dropped, "thing"), last.UTC().Format(time.RFC3339), open),
			"mend the sender, and settle what is on /quarantine"))
	}
	if open == 0 {
		return one(fine("nothing is set aside"))
	}
	return one(warning(amount(open, "thing")+" came in and could not be read", "see /quarantine on the dashboard for what and from where; mend the sender, send again what matters, and settle them there"))
}

// look counts jobs and workers, once for all checks that ask. It is nil when
// there is nothing to count, and when another check has told why it cannot.
func (v *visit) look(ctx context.Context) (*tasks.Overview, error) {
	if v.overview != nil || v.Ledger == nil || v.blind {
		return v.overview, nil
	}
	o, err := v.Ledger.Overview(ctx)
	if err != nil {
		v.blind = true
		return nil, err
	}
	v.overview = &o
	return v.overview, nil
}

func (v *visit) jobsDead(ctx context.Context) ([]Finding, error) {
	o, err := v.look(ctx)
	if o == nil || err != nil {
		return nil, err
	}
	if n := o.Count(tasks.Dead); n > 0 {
		return one(note(amount(n, "dead job"), "`evalq list --state dead` says why; mend that, then run them again: `evalq retry ID...`, or all at once on the dashboard"))
	}
	return one(fine("no job is dead"))
}
