package cli

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"evalq/internal/config"
	"evalq/internal/redistest"
	"evalq/tasks"
)

func TestWhatTheBridgeHasSetAsideIsListedReplayedAndDiscarded(t *testing.T) {
	t.Parallel()
	r := redistest.Start(t)
	w := start(t, func(c *config.Config) { c.BridgeRedisURL = r.URL })
	w.run(t, "quarantine", "list").want(t, 0, "0 open")
	rdb := r.Client(t)
	channel := "interview:messages:evaluation_report"
	eventually(t, "the bridge is subscribed", func() bool { return rdb.PubSubNumSub(t.Context(), channel).Val()[channel] == 1 })
	for _, body := range []string{
		`{"type":"evaluation_report","payload":{"report_id":9007199254740992,"user_id":7}}`,
		`{"type":"topic_evaluation","payload":{"report_id":9007199254740992,"user_id":7}}`, "s3cret", "s3cret too",
	} {
		if err := rdb.Publish(t.Context(), channel, body).Err(); err != nil {
			t.Fatal(err)
		}
	}
	var listed struct {
		Entries []tasks.Quarantined
		Open    int
	}
	eventually(t, "all are set aside", func() bool {
		w.run(t, "quarantine", "list", "--json").want(t, 0).decode(t, &listed)
		return listed.Open == 4
	})
	var damaged, garbage []string
	for _, q := range listed.Entries {
		if strings.Contains(q.Reason, "float64") {
			damaged = append(damaged, decimal(q.ID))
		} else {
			garbage = append(garbage, decimal(q.ID))
		}
	}
	if len(damaged) != 2 || len(garbage) != 2 {
		t.Fatalf("set aside: %+v", listed.Entries)
	}
	if e := w.run(t, "quarantine", "list").want(t, 0, channel, "above 2^53", "4 open"); strings.Contains(e.out, "s3cret") {
		t.Errorf("what was in them is shown:\n%s", e.out)
	}
	w.run(t, "quarantine", "replay", damaged[0]).want(t, 2, "no such interview is known yet")
	w.run(t, "quarantine", "replay", damaged[0], "--report-id", "9007199254740999").want(t, 2, "cannot mean")
	w.run(t, "quarantine", "replay", damaged[0], damaged[1], "--report-id", "9007199254740993").want(t, 2, "one entry at a time")
	w.run(t, "quarantine", "replay", damaged[0], "--report-id", "x").want(t, 2, "--report-id")
	w.run(t, "quarantine", "replay", damaged[0], "--report-id", "9007199254740993").want(t, 0, "submitted", "9007199254740993")
	w.run(t, "import", file(t, "i.json", strings.Replace(interview(7, 42, "a view of an array"), `"report_id":42`, `"report_id":9007199254740991`, 1))).want(t, 0)
	w.run(t, "quarantine", "replay", damaged[1], garbage[0]).want(t, 2, "no such interview", "not JSON")
	w.run(t, "import", file(t, "i.json", strings.Replace(interview(7, 42, "a view of an array"), `"report_id":42`, `"report_id":9007199254740993`, 1))).want(t, 0)
	var out []struct {
		ID  json.Number
		Job tasks.Job
	}
	w.run(t, "quarantine", "replay", damaged[1], "--json").want(t, 0).decode(t, &out)
	if len(out) != 1 || out[0].ID.String() != damaged[1] || out[0].Job.ReportID != 9007199254740993 {
		t.Errorf("replayed as %+v", out)
	}
	w.run(t, "quarantine", "replay", damaged[1]).want(t, 3)
	w.run(t, "quarantine", "discard", garbage[0], garbage[1]).want(t, 0, "discarded")
	w.run(t, "quarantine", "discard", garbage[0]).want(t, 3)
	w.run(t, "quarantine", "list").want(t, 0, "0 open")
	w.run(t, "quarantine", "list", "--all").want(t, 0, "replayed as job", "discarded: by api:")
	w.run(t, "quarantine", "replay").want(t, 2)
	w.run(t, "quarantine").want(t, 0, "replay")
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("in 30 s it did not happen that %s", what)
		}
	}
}
