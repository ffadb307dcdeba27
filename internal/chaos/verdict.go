package chaos

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"evalq/tasks"
)

// evidence is all that the verdict rests on.
type evidence struct {
	accepted map[string]identity // jobs whose submission was acknowledged
	record   *record
	calls    []call
	first    map[string]result // results as they were first seen
	struck   []struck
	wrongJob []string // second submissions that were answered with another job
}

// paidAgain begins the events that name a call which was not committed; the
// ledger's own words.
const paidAgain = "a call may be paid for again: "

// judge counts.
func judge(e evidence) *Report {
	r := &Report{Accepted: len(e.accepted), Calls: len(e.calls), OtherJob: len(e.wrongJob)}
	for _, text := range e.wrongJob {
		r.tell("another job", text)
	}
	r.countJobs(e)
	r.countResults(e)
	r.countCalls(e)
	for _, ev := range e.record.events {
		if ev.to == tasks.Held && ev.why == string(tasks.HoldAnswerInProgress) {
			r.Waits++
		}
	}
	r.Faults = rows(e, &r.Recovery, &r.WorkerRecovery)
	return r
}

// countJobs finds what was accepted and has not succeeded, and what is in the
// ledger besides.
func (r *Report) countJobs(e evidence) {
	for id, key := range e.accepted {
		j, there := e.record.jobs[id]
		switch {
		case !there:
			r.Lost++
			r.tell("lost", fmt.Sprintf("job %s (%s of report %d) was acknowledged and is not in the ledger", id, key.kind, key.report))
		case j.state != tasks.Succeeded:
			r.Lost++
			r.tell("lost", fmt.Sprintf("job %s (%s of report %d) is %s", id, key.kind, key.report, j.state))
		default:
			r.Finished++
		}
	}
	seen := map[identity]string{}
	for id, j := range e.record.jobs {
		key := identity{j.kind, j.report}
		if before, twice := seen[key]; twice {
			r.OtherJob++
			r.tell("another job", fmt.Sprintf("%s of report %d has the jobs %s and %s", j.kind, j.report, before, id))
		}
		seen[key] = id
	}
}

// countResults finds jobs with more than one result, and results that are not
// what they were.
func (r *Report) countResults(e evidence) {
	succeeded := map[string][]int{}
	for _, a := range e.record.attempts {
		switch a.outcome {
		case "lost":
			r.Deaths++
		case string(tasks.Succeeded):
			succeeded[a.job] = append(succeeded[a.job], a.number)
		}
	}
	for id, j := range e.record.jobs {
		stored, tries := e.record.results[id], succeeded[id]
		first, seen := e.first[id]
		switch {
		case len(stored) > 1 || len(tries) > 1:
			r.Twice++
			r.tell("written twice", fmt.Sprintf("job %s has %d results and succeeded in the attempts %v", id, len(stored), tries))
		case len(stored) == 1 && (len(tries) != 1 || stored[0].attempt != tries[0] || j.state != tasks.Succeeded):
			r.Twice++
			r.tell("written twice", fmt.Sprintf("job %s is %s with the result of attempt %d and succeeded in the attempts %v", id, j.state, stored[0].attempt, tries))
		case seen && (len(stored) == 0 || stored[0] != first):
			r.Twice++
			r.tell("written twice", fmt.Sprintf("the result of job %s, first that of attempt %d, has changed", id, first.attempt))
		case len(stored) == 0 && j.state == tasks.Succeeded:
			r.Lost++
			r.tell("lost", fmt.Sprintf("job %s succeeded and has no result", id))
		}
	}
}

// countCalls compares the judge's log with what is stored. A call is committed
// when its number is in the stored answer. Of the others, one that began after
// the commit was made again; one that began before may have been paid for twice,
// and its job's history has to say so.
func (r *Report) countCalls(e evidence) {
	stored := map[key]checkpointRow{}
	claimed := map[string]int{} // the attempts whose steps are open, by job
	for _, c := range e.record.checkpoints {
		if c.done != 0 {
			stored[key{c.report, c.input}] = c
		} else {
			claimed[c.job] = c.attempt
		}
	}
	listed := map[[2]string]int{}
	for _, ev := range e.record.events {
		if step, ok := strings.CutPrefix(ev.why, paidAgain); ok {
			listed[[2]string{ev.job, step}]++
		}
	}
	keys := map[key]bool{}
	for _, c := range e.calls {
		keys[c.key()] = true
		s, ok := stored[c.key()]
		switch {
		case !ok && claimed[c.Job] == c.Attempt: // on record as under way
			r.MaybeTwice++
			r.Listed++
			continue
		case !ok:
			r.Unlisted++
			r.tell("unlisted", fmt.Sprintf("call %d for job %s, attempt %d: no answer for it is stored", c.Call, c.Job, c.Attempt))
			continue
		case s.call == c.Call:
			continue
		}
		// The ledger keeps whole milliseconds: within one, the numbers tell.
		began := c.At / 1000
		if began > s.done || began == s.done && c.Call > s.call {
			r.Again++
			r.tell("made again", fmt.Sprintf("call %d for job %s, attempt %d, report %d began at %s; call %d of job %s, attempt %d, was committed at %s",
				c.Call, c.Job, c.Attempt, c.Report, clock(began), s.call, s.job, s.attempt, clock(s.done)))
			continue
		}
		r.MaybeTwice++
		if at := [2]string{c.Job, s.name}; listed[at] > 0 {
			listed[at]--
			r.Listed++
		} else {
			r.Unlisted++
			r.tell("unlisted", fmt.Sprintf("call %d for job %s, attempt %d, began at %s: the job's history does not name %s", c.Call, c.Job, c.Attempt, clock(began), s.name))
		}
	}
	r.Answers = len(keys)
}

func clock(ms int64) string { return time.UnixMilli(ms).UTC().Format("15:04:05.000") }

// signs are the moments at which a job is seen to go on, by job, in order: it
// began to run, stored an answer, or came to an end of some kind. That it was
// given back to the queue is none.
func signs(rec *record) map[string][]int64 {
	out := map[string][]int64{}
	for _, ev := range rec.events {
		if ev.to != tasks.Accepted && ev.to != tasks.Queued && !strings.HasPrefix(ev.why, paidAgain) {
			out[ev.job] = append(out[ev.job], ev.at)
		}
	}
	for _, c := range rec.checkpoints {
		if c.done != 0 {
			out[c.job] = append(out[c.job], c.done)
		}
	}
	for _, s := range out {
		slices.Sort(s)
	}
	return out
}

// rows makes a line of the table for each kind of fault, with how much running
// work it hit and how long that work took to go on. Longest and worker are the
// longest of all, and of killed workers' jobs while nothing else was broken.
func rows(e evidence, longest, worker *Recovery) []FaultRow {
	sign := signs(e.record)
	var out []FaultRow
	for i, s := range e.struck {
		s.dead = deadBy(e.struck[:i])
		i := slices.IndexFunc(out, func(f FaultRow) bool { return f.Fault == string(s.kind) })
		if i < 0 {
			out = append(out, FaultRow{Fault: string(s.kind)})
			i = len(out) - 1
		}
		row := &out[i]
		if s.undone != "" {
			row.Undone = s.undone
			continue
		}
		row.Done++
		if s.note != "" {
			row.Notes = append(row.Notes, s.note)
		}
		for _, a := range e.record.attempts {
			if !s.hit(a) {
				continue
			}
			row.Hit++
			rec := Recovery{Fault: s.target, Job: a.job, MS: s.recovery(sign[a.job])}
			row.Longest = max(row.Longest, rec.MS)
			if rec.MS > longest.MS {
				*longest = rec
			}
			if s.calm && rec.MS > worker.MS {
				*worker = rec
			}
		}
	}
	slices.SortStableFunc(out, func(a, b FaultRow) int { return cmp.Compare(order(a.Fault), order(b.Fault)) })
	return out
}

// deadBy gives the workers that faults have ended, and when. What they had is on
// record as running until that is noticed, and no later fault hits it.
func deadBy(before []struck) map[string]int64 {
	out := map[string]int64{}
	for _, s := range before {
		if s.kind == workerKilled || s.kind == processKilled || s.kind == workerDead {
			out[s.worker] = s.at
		}
	}
	return out
}

// order is that of the plan.
func order(fault string) int {
	for i, p := range plans {
		if string(p.kind) == fault {
			return i
		}
	}
	return len(plans)
}

// hit reports whether an attempt was at work when the fault struck, where it
// struck.
func (s struck) hit(a attemptRow) bool {
	if died, dead := s.dead[a.worker]; dead && a.started <= died {
		return false
	}
	if a.started > s.at || a.finished != 0 && a.finished <= s.at {
		return false
	}
	return !s.alone() || a.worker == s.worker
}

// alone reports whether the fault hits one worker's attempts only.
func (s struck) alone() bool {
	role, one := prey[s.kind]
	return one && (role == "worker" || role == whole)
}

// recovery is how long it took until the job went on. 0 if it never did.
func (s struck) recovery(signs []int64) int64 {
	for _, at := range signs {
		if at > s.at {
			return at - s.at
		}
	}
	return 0
}
