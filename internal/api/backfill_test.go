package api

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"evalq/tasks"
)

func TestABackfillIsAskedForPageByPageAndSaysWhatItDid(t *testing.T) {
	t.Parallel()
	k := &keeper{filled: tasks.Backfilled{Looked: 500, Next: "dw", Left: []string{"06azr8a0tmp4g2cqw9kx5e1v"}, Kinds: map[tasks.Kind]tasks.BackfilledKind{
		tasks.KindTopicEvaluation: {Found: 3, Submitted: 2, Dead: 1},
	}}}
	w := serve(t, Config{House: k, Who: func(context.Context) string { return "ann" }})
	var got tasks.Backfilled
	w.do(t, "POST", "/v1/admin/backfill", `{}`).want(t, 200).decode(t, &got)
	if fmt.Sprint(got) != fmt.Sprint(k.filled) {
		t.Errorf("answered %+v", got)
	}
	w.do(t, "POST", "/v1/admin/backfill", `{"dry_run":true,"user_id":9223372036854775807,"older_than":"0s","limit":7,"cursor":"dw"}`).want(t, 200)
	want := []string{
		"backfill {DryRun:false UserID:0 OlderThan:10m0s Limit:0 Cursor:} ann",
		"backfill {DryRun:true UserID:9223372036854775807 OlderThan:0s Limit:7 Cursor:dw} ann",
	}
	if fmt.Sprint(k.asked) != fmt.Sprint(want) {
		t.Errorf("asked %q, want %q", k.asked, want)
	}
}

func TestABackfillThatIsNotClearIsRefused(t *testing.T) {
	t.Parallel()
	k := &keeper{}
	w := serve(t, Config{House: k})
	for body, status := range map[string]int{
		`{"user_id":0}`: 422, `{"user_id":"7"}`: 422, `{"older_than":"soon"}`: 422, `{"older_than":"-1m"}`: 422, `{"older_than":10}`: 422,
		`{"limit":0}`: 422, `{"limit":1.5}`: 422, `{"limit":"7"}`: 422, `{"cursor":7}`: 422, `{"dry_run":1}`: 422,
		`{"dryrun":true}`: 400, `{"limit":1,"limit":2}`: 400, `[]`: 400, ``: 415,
	} {
		w.do(t, "POST", "/v1/admin/backfill", body).want(t, status)
	}
	if len(k.asked) != 0 {
		t.Errorf("asked %q", k.asked)
	}
	k.fail = &tasks.InvalidError{Err: fmt.Errorf("cursor: use the next of the answer before")}
	if e := w.do(t, "POST", "/v1/admin/backfill", `{"cursor":"!"}`).want(t, 422); !strings.Contains(string(e.body), "use the next") {
		t.Errorf("answered %s", e.body)
	}
	k.fail = fmt.Errorf("platform: %w", tasks.NewError(tasks.ClassStorage, fmt.Errorf("connection refused")))
	if e := w.do(t, "POST", "/v1/admin/backfill", `{}`).want(t, 503); strings.Contains(string(e.body), "refused") {
		t.Errorf("answered %s", e.body)
	}
}
