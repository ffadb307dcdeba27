package app

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"evalq/internal/config"
	"evalq/internal/redistest"
	"evalq/tasks"
)

const oldChannel = "interview:messages:evaluation_report"

// published sends a message of the old contract to whoever is subscribed.
func published(t *testing.T, s *redistest.Server, body string) {
	t.Helper()
	rdb := s.Client(t)
	eventually(t, "somebody is subscribed", func() bool { return rdb.PubSubNumSub(t.Context(), oldChannel).Val()[oldChannel] > 0 })
	if err := rdb.Publish(t.Context(), oldChannel, body).Err(); err != nil {
		t.Fatal(err)
	}
}

func ready(t *testing.T, a *App) (status int, checks map[string]any) {
	t.Helper()
	status, body := call(t, "GET", a.URL()+"/readyz", "")
	return status, body["checks"].(map[string]any)
}

func TestWhatAnOldProgramPublishesIsEvaluatedAndItsRedisIsNotOurs(t *testing.T) {
	t.Parallel()
	old := redistest.Start(t)
	a := start(t, settings(t, func(c *config.Config) { c.BridgeRedisURL = old.URL }), Extras{})
	call(t, "PUT", a.URL()+"/v1/interviews/42", slice)
	published(t, old, `{"type":"evaluation_report","payload":{"report_id":42,"user_id":7}}`)
	find := a.URL() + "/v1/find?kind=evaluation_report&user_id=7&report_id="
	eventually(t, "it is evaluated", func() bool {
		_, job := call(t, "GET", find+"42", "")
		return job["state"] == "succeeded"
	})
	if status, checks := ready(t, a); status != 200 || checks["bridge"] == nil {
		t.Errorf("ready: %d %v", status, checks)
	}
	if n := old.Client(t).DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("%d keys were written to the old Redis", n)
	}
	old.Kill()
	eventually(t, "it is not ready", func() bool {
		status, checks := ready(t, a)
		return status == 503 && checks["bridge"].(map[string]any)["ok"] == false && checks["redis"].(map[string]any)["ok"] == true
	})
	submit(t, a, `{"kind":"evaluation_report","user_id":7,"report_id":43}`, 202)
	old.Restart()
	published(t, old, `{"type":"evaluation_report","payload":{"report_id":44,"user_id":7}}`)
	eventually(t, "it is submitted", func() bool {
		status, _ := call(t, "GET", find+"44", "")
		return status == 200
	})
	eventually(t, "the gap is on the page", func() bool {
		resp, err := http.Get(a.URL() + "/bridge")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		page, err := io.ReadAll(resp.Body)
		return err == nil && strings.Contains(string(page), oldChannel) && strings.Contains(string(page), `1<br><small class="muted">`)
	})
}

func TestAProcessWithoutTheRoleHasNoBridge(t *testing.T) {
	t.Parallel()
	a := start(t, settings(t, nil), Extras{})
	if _, checks := ready(t, a); checks["bridge"] != nil {
		t.Errorf("its checks are %v", checks)
	}
}

func TestAnEntryOfTheQuarantineIsTriedAgainOnceAndOnRecord(t *testing.T) {
	t.Parallel()
	old := redistest.Start(t)
	a := start(t, settings(t, func(c *config.Config) { c.BridgeRedisURL = old.URL }), Extras{})
	published(t, old, `{"type":"evaluation_report","payload":{"report_id":9007199254740992,"user_id":7}}`)
	if err := a.ledger.Quarantine(t.Context(), tasks.Quarantined{Source: "asynq", TaskID: "x", Reason: "no JSON"}, []byte("x")); err != nil {
		t.Fatal(err)
	}
	var bridged, other string
	eventually(t, "both are set aside", func() bool {
		_, body := call(t, "GET", a.URL()+"/v1/admin/quarantine", "")
		for _, raw := range body["entries"].([]any) {
			e := raw.(map[string]any)
			if e["source"] == "bridge" {
				bridged = fmt.Sprint(e["id"])
			} else {
				other = fmt.Sprint(e["id"])
			}
		}
		return bridged != "" && other != ""
	})
	replay := func(id, body string) (int, map[string]any) {
		t.Helper()
		return call(t, "POST", a.URL()+"/v1/admin/quarantine/"+id+"/replay", body)
	}
	if status, body := replay(other, ""); status != 409 || !strings.Contains(fmt.Sprint(body["detail"]), "its sender has to") {
		t.Errorf("what did not come over the bridge: %d %v", status, body)
	}
	call(t, "PUT", a.URL()+"/v1/interviews/9007199254740992", slice)
	call(t, "PUT", a.URL()+"/v1/interviews/9007199254740993", slice)
	if status, body := replay(bridged, ""); status != 422 || !strings.Contains(fmt.Sprint(body["detail"]), "several interviews") {
		t.Errorf("with two that may be meant: %d %v", status, body)
	}
	entries, _, err := a.ledger.InQuarantine(t.Context(), false, 10)
	if err != nil || !strings.Contains(fmt.Sprint(entries), "user_id 7 report_id 9007199254740993") {
		t.Errorf("the reason does not name them: %+v, %v", entries, err)
	}
	status, job := replay(bridged, `{"report_id":9007199254740993}`)
	if status != 200 || fmt.Sprint(job["report_id"]) != "9007199254740993" {
		t.Fatalf("named: %d %v", status, job)
	}
	await(t, a, job["id"].(string), state("succeeded"))
	if status, body := replay(bridged, ""); status != 404 {
		t.Errorf("a settled one: %d %v", status, body)
	}
	if status, _ := call(t, "POST", a.URL()+"/v1/admin/quarantine/"+other+"/discard", ""); status != 200 {
		t.Errorf("discarded: %d", status)
	}
	entries, open, err := a.ledger.InQuarantine(t.Context(), true, 10)
	if err != nil || open != 0 || !strings.Contains(fmt.Sprint(entries), "replayed as job "+fmt.Sprint(job["id"])+": by api:local") {
		t.Errorf("settled as %+v, %v", entries, err)
	}
	log := audit(t, a)
	for _, want := range []string{"api:local quarantine.replay " + bridged + ": named user 0 report 9007199254740993\n", "api:local quarantine.discard " + other + ": "} {
		if !strings.Contains(log, want) {
			t.Errorf("the audit log lacks %q:\n%s", want, log)
		}
	}
}

func TestAViewerMayLookIntoTheQuarantineAndNoMore(t *testing.T) {
	t.Parallel()
	a := start(t, settings(t, func(c *config.Config) { c.OperatorToken, c.ViewerToken = "operator-token", "viewer-token-1" }), Extras{})
	if err := a.ledger.Quarantine(t.Context(), tasks.Quarantined{Source: "bridge", Queue: oldChannel, Reason: "no JSON"}, []byte("x")); err != nil {
		t.Fatal(err)
	}
	for request, want := range map[string]int{"GET /quarantine": 200, "POST /quarantine/1/replay": 403, "POST /quarantine/1/discard": 403} {
		method, path, _ := strings.Cut(request, " ")
		req, err := http.NewRequestWithContext(t.Context(), method, a.URL()+"/v1/admin"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer viewer-token-1")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", request, resp.StatusCode, want)
		}
	}
	if _, open, err := a.ledger.InQuarantine(t.Context(), false, 10); err != nil || open != 1 {
		t.Errorf("%d are open, %v", open, err)
	}
}

// archive is interviews that are kept elsewhere.
type archive [][2]int64

func (a archive) Interviews(_ context.Context, userLow, userHigh, reportLow, reportHigh int64, _ int) (out [][2]int64, err error) {
	for _, p := range a {
		if p[0] >= userLow && p[0] <= userHigh && p[1] >= reportLow && p[1] <= reportHigh {
			out = append(out, p)
		}
	}
	return out, nil
}

func TestInterviewsThatAreKeptElsewhereResolveDamagedIDsToo(t *testing.T) {
	t.Parallel()
	a := start(t, settings(t, nil), Extras{})
	b := a.bridged()
	b.others = []interviews{archive{{7, 9007199254740993}, {8, 9007199254740992}}}
	call(t, "PUT", a.URL()+"/v1/interviews/9007199254740993", slice) // the same, mirrored
	if err := b.Quarantine(t.Context(), tasks.Quarantined{Source: "bridge", Reason: "damaged"}, []byte(`{"type":"topic_evaluation","payload":{"report_id":9007199254740992,"user_id":7}}`)); err != nil {
		t.Fatal(err)
	}
	j, err := b.Replay(t.Context(), 1, 0, 0, "op")
	if err != nil || j.ReportID != 9007199254740993 || j.Kind != tasks.KindTopicEvaluation {
		t.Fatalf("replayed as %+v, %v", j, err)
	}
}
