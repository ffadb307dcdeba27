package mq

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"evalq/internal/redistest"
	"evalq/tasks"
)

// wireRow is a message as it is on the wire, in testdata/wire, what the original
// consumer did with it, and what a bridge does: it submits user 7's report, or sets
// the message aside with a reason.
type wireRow struct {
	name     string
	original string
	report   int64
	reason   string
	known    []int64 // reports of user 7 that there are
	kind     tasks.Kind
}

var wireTable = []wireRow{
	{name: "evaluation_report", original: "handled", report: 42},
	{name: "topic_evaluation", original: "handled", report: 42, kind: tasks.KindTopicEvaluation},
	{name: "extra_keys", original: "handled", report: 42},
	{name: "envelope_case", original: "handled", report: 42},
	{name: "payload_case", original: "dropped", reason: "user_id: missing"},
	{name: "user_string", original: "dropped", report: 42},
	{name: "report_string", original: "dropped", report: 42},
	{name: "string_not_numeric", original: "dropped", reason: "report_id: not a whole number"},
	{name: "user_missing", original: "dropped", reason: "user_id: missing"},
	{name: "report_missing", original: "dropped", reason: "report_id: missing"},
	{name: "user_null", original: "dropped", reason: "user_id: missing"},
	{name: "payload_null", original: "dropped", reason: "payload: missing"},
	{name: "payload_missing", original: "dropped", reason: "payload: missing"},
	{name: "user_negative", original: "evaluated for user 18446744073709551615", reason: "user_id: not above 0"},
	{name: "fractions", original: "evaluated as 1 and 42", reason: "user_id: not a whole number"},
	{name: "zeros", original: "evaluated", reason: "user_id: not above 0"},
	{name: "exponent", original: "handled", report: 42},
	{name: "type_unknown", original: "dropped", reason: "type: neither"},
	{name: "type_missing", original: "dropped", reason: "type and payload"},
	{name: "type_number", original: "dropped", reason: "type and payload"},
	{name: "null", original: "dropped", reason: "type and payload"},
	{name: "payload_array", original: "dropped", reason: "payload: no JSON object"},
	{name: "payload_text", original: "dropped", reason: "payload: no JSON object"},
	{name: "not_json", original: "dropped", reason: "not JSON"},
	{name: "cut_off", original: "dropped", reason: "not JSON"},
	{name: "empty", original: "dropped", reason: "not JSON"},
	{name: "not_utf8", original: "dropped", reason: "not JSON"},
	{name: "two_values", original: "dropped", reason: "not JSON"},
	{name: "key_twice", original: "the last one handled", reason: "twice"},
	{name: "below_2_53", original: "handled", report: 1<<53 - 1},
	{name: "report_2_53", original: "evaluated as 2^53, whatever was meant", reason: "no such interview is known yet"},
	{name: "report_2_53", original: "evaluated as 2^53, whatever was meant", report: 1<<53 + 1, known: []int64{1<<53 + 1, 1<<53 + 2}},
	{name: "report_2_53", original: "evaluated as 2^53, whatever was meant", known: []int64{1 << 53, 1<<53 + 1},
		reason: "several interviews may be meant, name the true ids: user_id 7 report_id 9007199254740992, user_id 7 report_id 9007199254740993"},
	{name: "report_2_62", original: "evaluated as 2^62, whatever was meant", report: 1<<62 - 3, known: []int64{1<<62 - 3}},
	{name: "report_2_64", original: "evaluated as 2^63", reason: "report_id: above 2^63-1"},
	{name: "report_exact", original: "evaluated as 2^53", report: 1<<53 + 1},
	{name: "report_exact_string", original: "dropped", report: 1<<53 + 1},
}

func TestEachMessageOfTheOldContractBecomesAJobOrIsSetAsideWithItsReason(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	for i, row := range wireTable {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			body, err := os.ReadFile(filepath.Join("testdata", "wire", row.name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			w := newBridgeWorld(t, s)
			for _, report := range row.known {
				w.put(7, report)
			}
			prefix := strings.Repeat("x", i) + ":"
			r := w.start(&BridgeConfig{Prefixes: []string{prefix}})
			w.publish(prefix+string(MessageTypeEvaluationReport), string(body))
			r.dealtWith(1)
			jobs, aside := w.jobs(), w.quarantine()
			if row.reason != "" {
				if len(jobs) != 0 || len(aside) != 1 || !strings.Contains(aside[0].Reason, row.reason) || aside[0].Source != "bridge" ||
					aside[0].Queue != prefix+string(MessageTypeEvaluationReport) || aside[0].Size != len(body) {
					t.Fatalf("jobs %+v, set aside %+v, want the reason %q", jobs, aside, row.reason)
				}
				if strings.Contains(w.log.String(), "report_id") {
					t.Errorf("the log quotes the message:\n%s", w.log)
				}
				return
			}
			kind := tasks.KindEvaluationReport
			if row.kind != "" {
				kind = row.kind
			}
			if len(aside) != 0 || len(jobs) != 1 || jobs[0].Kind != kind || jobs[0].UserID != 7 || jobs[0].ReportID != row.report {
				t.Fatalf("jobs %+v, set aside %+v, want report %d", jobs, aside, row.report)
			}
			if c := sum(r); (c.Resolved == 1) != (row.known != nil) || c.Submitted != 1 {
				t.Errorf("counted %+v", c)
			}
		})
	}
}

func TestEveryFixtureOfTheWireIsInTheTable(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/wire/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".json")
		if !slices.ContainsFunc(wireTable, func(r wireRow) bool { return r.name == name && r.original != "" }) {
			t.Errorf("%s is not in the table", f)
		}
	}
}
