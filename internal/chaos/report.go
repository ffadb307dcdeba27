package chaos

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// limit is how long a killed worker's jobs may take to run elsewhere.
const limit = 15_000

// Report is what an experiment has counted.
type Report struct {
	Evalq    string `json:"evalq"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	CPUs     int    `json:"cpus"`
	Ledger   string `json:"ledger"`
	Redis    string `json:"redis"`
	Whole    bool   `json:"one_process"` // all roles in one, on SQLite
	Seed     uint64 `json:"seed"`
	Short    bool   `json:"short"`
	Took     string `json:"took"`

	Faults []FaultRow `json:"faults"`

	Jobs       int   `json:"jobs"`
	Accepted   int   `json:"accepted"`
	Finished   int   `json:"finished"`
	Lost       int   `json:"lost"`
	Twice      int   `json:"results_written_twice"`
	Answers    int   `json:"answers"` // that a call was made for
	Calls      int   `json:"calls"`
	Again      int   `json:"committed_calls_made_again"`
	MaybeTwice int   `json:"uncommitted_calls_possibly_made_twice"`
	Listed     int   `json:"listed"`
	Unlisted   int   `json:"unlisted"`
	Second     int   `json:"second_submissions"`
	OtherJob   int   `json:"second_submissions_answered_with_another_job"`
	Repeated   int64 `json:"requests_repeated"` // because no API had acknowledged them
	Deaths     int   `json:"deaths"`
	Waits      int   `json:"waits"`

	Recovery Recovery `json:"longest_recovery"`
	// WorkerRecovery is the longest of a killed worker's job while nothing else was
	// broken.
	WorkerRecovery Recovery `json:"longest_recovery_of_a_killed_worker"`

	// Details tells of each thing that is wrong, Notes what else is worth knowing.
	Details []string `json:"details,omitempty"`
	Notes   []string `json:"notes,omitempty"`
	// Folder has the data and the logs, if they were kept.
	Folder string `json:"folder,omitempty"`
}

// FaultRow counts the faults of one kind.
type FaultRow struct {
	Fault string `json:"fault"`
	Done  int    `json:"done"`
	// Hit is how many running attempts they struck.
	Hit     int      `json:"hit"`
	Longest int64    `json:"longest_recovery_ms"`
	Undone  string   `json:"not_done,omitempty"` // why
	Notes   []string `json:"notes,omitempty"`
}

// Recovery is the time from a fault until a job that it had hit went on.
type Recovery struct {
	MS    int64  `json:"ms"`
	Fault string `json:"fault,omitempty"`
	Job   string `json:"job,omitempty"`
}

// most bounds the details of one sort.
const most = 20

func (r *Report) tell(sort, text string) {
	n := 0
	for _, d := range r.Details {
		if strings.HasPrefix(d, sort+": ") {
			n++
		}
	}
	if n < most {
		r.Details = append(r.Details, sort+": "+text)
	}
}

// Failures says in what the promises were not kept, or why the experiment shows
// nothing.
func (r *Report) Failures() []string {
	var out []string
	for _, f := range []struct {
		n    int
		what string
	}{
		{r.Jobs - r.Accepted, "jobs were never accepted"},
		{r.Lost, "accepted jobs were lost"},
		{r.Twice, "results were written twice"},
		{r.Again, "committed calls were made again"},
		{r.Unlisted, "uncommitted calls are not listed in their jobs' histories"},
		{r.OtherJob, "second submissions were answered with another job"},
	} {
		if f.n != 0 {
			out = append(out, fmt.Sprintf("%d %s", f.n, f.what))
		}
	}
	for _, f := range r.Faults {
		if f.Undone == errDry.Error() {
			out = append(out, fmt.Sprintf("the fault %q did not strike as often as planned: %s", f.Fault, f.Undone))
		}
		if f.Done > 0 && f.Hit == 0 {
			out = append(out, fmt.Sprintf("the fault %q hit no running work, so it shows nothing", f.Fault))
		}
	}
	return out
}

// Kept reports whether every promise was kept.
func (r *Report) Kept() bool { return len(r.Failures()) == 0 }

// Print writes the table.
func (r *Report) Print(out io.Writer) {
	form := "roles apart: 2 API, 2 relay, 3 worker processes"
	if r.Whole {
		form = "all roles in one process"
	}
	fmt.Fprintf(out, "evalq %s, %s, %s, %d CPUs\n%s, %s, %s\n%d jobs, seed %d, %s\n\n",
		r.Evalq, r.Go, r.Platform, r.CPUs, r.Ledger, r.Redis, form, r.Jobs, r.Seed, r.Took)
	r.printFaults(out)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(what string, n any) { fmt.Fprintf(t, "%v\t  %s\n", n, what) }
	row("accepted", number(r.Accepted))
	row("finished", number(r.Finished))
	row("lost", number(r.Lost))
	row("results written twice", number(r.Twice))
	row("committed calls made again", number(r.Again))
	row("uncommitted calls possibly made twice", number(r.MaybeTwice))
	row("of them listed in their jobs' histories", number(r.Listed))
	row("unlisted", number(r.Unlisted))
	row("calls, for "+number(r.Answers)+" answers", number(r.Calls))
	row("second submissions, "+number(r.OtherJob)+" of them answered with another job", number(r.Second))
	row("attempts that died with their worker", number(r.Deaths))
	row("waits for an answer that another job was at", number(r.Waits))
	row("longest recovery of a killed worker's job while nothing else is broken"+r.WorkerRecovery.verdict(), r.WorkerRecovery.String())
	row("longest recovery, after: "+r.Recovery.Fault, r.Recovery.String())
	row("submissions and interviews sent again, since no API had acknowledged them", number(int(r.Repeated)))
	_ = t.Flush()
	for _, d := range r.Details {
		fmt.Fprintf(out, "\n%s", d)
	}
	if len(r.Details) > 0 {
		fmt.Fprintln(out)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(out, "\nnote: %s", n)
	}
	if len(r.Notes) > 0 {
		fmt.Fprintln(out)
	}
	if r.Folder != "" {
		fmt.Fprintf(out, "\nkept: %s\n", r.Folder)
	}
}

func (r *Report) printFaults(out io.Writer) {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "fault\ttimes\trunning attempts hit\tlongest recovery\t")
	for _, f := range r.Faults {
		if f.Done == 0 {
			fmt.Fprintf(t, "%s\tnot done\t\t\t%s\n", f.Fault, f.Undone)
			continue
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%s\t%s\n", f.Fault, f.Done, f.Hit, seconds(f.Longest), strings.Join(f.Notes, ", "))
	}
	_ = t.Flush()
	fmt.Fprintln(out)
}

func (r Recovery) String() string { return seconds(r.MS) }

func (r Recovery) verdict() string {
	if r.MS > limit {
		return ", over the limit of 15 s"
	}
	return ", within 15 s"
}

func seconds(ms int64) string { return fmt.Sprintf("%.1f s", float64(ms)/1000) }

// number puts commas between thousands.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
