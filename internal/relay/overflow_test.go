package relay

import (
	"testing"

	"evalq/internal/asynqtest"
	"evalq/internal/redisconn"
	"evalq/tasks"
)

// overflowing puts a message where package mq puts what leaves its archive.
func (w *world) overflowing(evaluations bool, payload string) {
	w.t.Helper()
	q := asynqtest.At(w.t, w.rdb, "mq")
	id := q.Enqueue("evaluation_report", payload)
	msg, err := w.rdb.HGet(w.t.Context(), q.Key("t:"+id), "msg").Result()
	w.must(err)
	w.must(w.rdb.Del(w.t.Context(), q.Key("t:"+id), q.Key("pending")).Err())
	list := redisconn.OverflowKey("mq", evaluations)
	w.must(w.rdb.RPush(w.t.Context(), list, msg).Err())
	w.must(w.rdb.HIncrBy(w.t.Context(), redisconn.OverflowCount("mq"), list, int64(len(msg))).Err())
}

func TestMessagesThatLeftTheirArchiveAreMovedToTheQuarantineEachKindWithItsOwnBound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range overflowPage + 1 {
		w.overflowing(false, `{"n":1}`)
	}
	w.overflowing(true, `{"report_id":42,"user_id":7}`)
	w.run(brisk)
	w.eventually("all are in quarantine", func() bool { return len(w.quarantined()) == overflowPage+2 })
	evaluations := 0
	for _, q := range w.quarantined() {
		if q.Reason != reasonMessageTrimmed || q.Queue != "mq" {
			t.Errorf("%+v", q)
		}
		if q.Source == tasks.SourceEvaluations {
			evaluations++
			if got := string(w.bodyOf(q)); got != `{"type":"evaluation_report","payload":{"report_id":42,"user_id":7}}` {
				t.Errorf("%s", got)
			}
		}
	}
	if evaluations != 1 {
		t.Errorf("%d evaluations", evaluations)
	}
	w.eventually("the counts are back at 0", func() bool {
		for list, n := range w.rdb.HGetAll(t.Context(), redisconn.OverflowCount("mq")).Val() {
			if n != "0" {
				t.Logf("%s: %s", list, n)
				return false
			}
		}
		return true
	})
}

func TestAnErasureFindsMessagesOnTheirWayToTheQuarantine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for n := range 2 * overflowPage {
		if n%3 == 0 {
			w.overflowing(true, `{"report_id":42,"user_id":7}`)
		} else {
			w.overflowing(true, `{"report_id":42,"user_id":8}`)
		}
	}
	s := NewSweeper(w.ledger.Ledger, w.rdb, "")
	for _, dry := range []bool{true, false} {
		n, err := s.overflowOfUser(t.Context(), 7, dry)
		w.must(err)
		if want := (2*overflowPage + 2) / 3; n != want {
			t.Errorf("dry %v: %d of %d", dry, n, want)
		}
	}
	if n, _ := s.overflowOfUser(t.Context(), 7, false); n != 0 {
		t.Errorf("%d are left", n)
	}
	if n := w.rdb.LLen(t.Context(), redisconn.OverflowKey("mq", true)).Val(); n != int64(2*overflowPage-(2*overflowPage+2)/3) {
		t.Errorf("%d of the other user are left", n)
	}
}
