package ledgertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"evalq/tasks"
)

// batchesEndAsOneByOne asks for the same random mix of new, existing, finished,
// dead, cancelled, changed, repeated and invalid things one by one, in one batch,
// and from many callers at once, each time on reports of its own that have had the
// same life, and compares what came of it.
func batchesEndAsOneByOne(w *world) {
	const seeds = 4
	for seed := range int64(seeds) {
		m := &mix{world: w, seed: uint64(seed), first: 4*seed + 1}
		m.prepare()
		wishes, once := m.wishes(), m.wishes()
		for i, v := range once { // callers at once have no order, so for a key they ask the same
			once[i] = once[slices.IndexFunc(once, func(o wish) bool { return o.key() == v.key() })]
		}
		m.same("the batch's answers", m.oneByOne(0, wishes), m.atOnce(1, wishes))
		m.same("the batch's jobs", m.outcome(0), m.outcome(1))
		m.same("the crowd's answers", sorted(m.oneByOne(2, once)), sorted(m.inParallel(3, once)))
		m.same("the crowd's jobs", sorted(m.outcome(2)), sorted(m.outcome(3)))
	}
}

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}

// same compares with what came of asking one by one.
func (m *mix) same(what string, want, got []string) {
	m.t.Helper()
	for i := range max(len(want), len(got)) {
		if i >= len(want) || i >= len(got) || want[i] != got[i] {
			m.t.Fatalf("seed %d: %s, %d of %d: got\n%v\nwant\n%v", m.seed, what, i+1, len(want), got[min(i, len(got)):min(i+1, len(got))], want[min(i, len(want)):min(i+1, len(want))])
		}
	}
}

// mix has four users, one for each way to ask, whose reports have the same life.
type mix struct {
	*world
	seed  uint64
	first int64 // the first user
}

const mixReports = 24

// subject is the user of a way to ask, and one of his reports.
func (m *mix) subject(way int, n int64) (user, report int64) {
	return m.first + int64(way), (m.first+int64(way))*1000 + n
}

// each calls f for every report of every user.
func (m *mix) each(f func(n, user, report int64)) {
	for way := range 4 {
		for n := range int64(mixReports) {
			user, report := m.subject(way, n)
			f(n, user, report)
		}
	}
}

// prepare gives report n the life that n % 8 says.
func (m *mix) prepare() {
	m.each(func(n, user, id int64) {
		if n%8 > 1 {
			m.put(interview(user, id, "before"))
			m.accept(report(user, id))
		}
	})
	m.feed()
	m.each(func(n, user, id int64) {
		j, err := m.Find(m.ctx, tasks.KindEvaluationReport, user, id)
		switch life := n % 8; life {
		case 0: // nobody asked
		case 1:
			m.accept(report(user, id))
		case 2: // queued
		case 3:
			m.must(err)
			_, err = m.Cancel(m.ctx, j.ID, "op", "")
			m.must(err)
		default:
			m.must(err)
			_, f := m.start(j.ID)
			switch life {
			case 4:
				m.complete(f)
			case 5:
				m.fail(f, tasks.ClassNotAssessable)
			case 6: // succeeded on what the interview was
				m.complete(f)
				m.put(interview(user, id, "after"))
			case 7: // running on what the interview was
				m.put(interview(user, id, "after"))
			}
		}
	})
}

// wish is a request for one of the four users.
type wish struct {
	n             int64
	kind          int
	data          string
	anew, passive bool
	priority      tasks.Priority
	later         bool
}

func (v wish) key() string { return fmt.Sprint(v.n, " ", v.kind) }

func (m *mix) wishes() []wish {
	rng := rand.New(rand.NewPCG(m.seed, 7))
	out := make([]wish, 130)
	for i := range out {
		out[i] = wish{
			n: rng.Int64N(mixReports + 20), kind: rng.IntN(3), data: fmt.Sprint(rng.IntN(2)), anew: rng.IntN(2) == 0, passive: rng.IntN(3) == 0,
			priority: []tasks.Priority{"", tasks.Low, tasks.Critical, "urgent"}[rng.IntN(4)], later: rng.IntN(5) == 0,
		}
		if out[i].priority == "urgent" && rng.IntN(4) > 0 {
			out[i].priority = ""
		}
	}
	return out
}

func (m *mix) request(way int, v wish) tasks.Request {
	user, id := m.subject(way, v.n)
	r := tasks.Request{Priority: v.priority, Anew: v.anew, Passive: v.passive}
	if v.later {
		r.RunAt = m.clock.Now().Add(time.Hour)
	}
	switch v.kind {
	case 0:
		r.Payload = tasks.EvaluationReport{UserID: user, ReportID: id}
	case 1:
		r.Payload = tasks.TopicEvaluation{UserID: user, ReportID: id}
	default:
		r.Payload = tasks.Custom{Name: "resume_parse", UserID: user, ReportID: id, Data: json.RawMessage(v.data)}
	}
	return r
}

// answer is what a caller was told, but for what the users differ in.
func (m *mix) answer(way int, j tasks.Job, created bool, err error) string {
	if err != nil {
		var invalid *tasks.InvalidError
		return fmt.Sprint("refused ", errors.As(err, &invalid))
	}
	return fmt.Sprint(m.told(way, j), " created ", created)
}

func (m *mix) told(way int, j tasks.Job) string {
	_, base := m.subject(way, 0)
	return fmt.Sprintf("%s %d.%d %s %s run %d delivery %d attempt %d charged %d due %v data %s",
		j.Kind, j.ReportID-base, j.Revision, j.State, j.Priority, j.Run, j.Delivery, j.Attempt, j.Charged, j.DueAt.IsZero(), j.Data)
}

func (m *mix) oneByOne(way int, wishes []wish) []string {
	out := make([]string, len(wishes))
	for i, v := range wishes {
		j, created, err := m.Accept(m.ctx, m.request(way, v), "test")
		out[i] = m.answer(way, j, created, err)
	}
	return out
}

func (m *mix) atOnce(way int, wishes []wish) []string {
	rs := make([]tasks.Request, len(wishes))
	for i, v := range wishes {
		rs[i] = m.request(way, v)
	}
	out := make([]string, len(wishes))
	for i, a := range m.AcceptMany(m.ctx, rs, "test") {
		out[i] = m.answer(way, a.Job, a.Created, a.Err)
	}
	return out
}

func (m *mix) inParallel(way int, wishes []wish) []string {
	out := make([]string, len(wishes))
	var wg sync.WaitGroup
	for i, v := range wishes {
		wg.Go(func() {
			j, created, err := m.Accept(m.ctx, m.request(way, v), "test")
			out[i] = m.answer(way, j, created, err)
		})
	}
	wg.Wait()
	return out
}

// outcome is every job of a user with its history, in the order of acceptance.
func (m *mix) outcome(way int) []string {
	user, _ := m.subject(way, 0)
	page, err := m.List(m.ctx, tasks.Filter{UserID: user, Limit: 500})
	m.must(err)
	var out []string
	for _, j := range slices.Backward(page.Jobs) {
		m.wantLegalHistory(j.ID)
		line := m.told(way, j)
		events, err := m.Events(m.ctx, j.ID)
		m.must(err)
		for _, e := range events {
			line += fmt.Sprintf(" | %s>%s %s %s", e.From, e.To, e.Who, e.Why)
		}
		out = append(out, line)
	}
	return out
}
