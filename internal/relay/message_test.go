package relay

import (
	"testing"

	"github.com/hibiken/asynq"
	"pgregory.net/rapid"

	"evalq/internal/asynqtest"
)

func TestAMessageSaysWhoseItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	j := w.accept(1, 1)
	w.must(w.relay(usual, Config{}).enqueue(t.Context(), j))
	q := asynqtest.At(t, w.rdb, "default")
	plain := q.Enqueue("paid", "")
	for id, want := range map[string]message{
		j.TaskID(): {j.TaskID(), "default", w.ledger.ID()},
		plain:      {plain, "default", ""},
	} {
		body, err := w.rdb.HGet(t.Context(), q.Key("t:"+id), "msg").Bytes()
		w.must(err)
		if m, ok := readMessage(body); !ok || m != want {
			t.Errorf("%v, read: %v; want %v", m, ok, want)
		}
	}
}

// TestWhatAsynqCanReadWeCanRead: and what it cannot, we cannot either. A
// difference would set a healthy task aside, or leave a bad one where it is.
func TestWhatAsynqCanReadWeCanRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	q := asynqtest.At(t, w.rdb, "default")
	j := w.accept(1, 1)
	w.must(w.relay(usual, Config{}).enqueue(t.Context(), j))
	id := q.Enqueue("paid", `{"n":1}`, asynq.Unique(1<<40))
	var seeds [][]byte
	for _, have := range []string{j.TaskID(), id} {
		body, err := w.rdb.HGet(t.Context(), q.Key("t:"+have), "msg").Bytes()
		w.must(err)
		seeds = append(seeds, body)
	}
	rapid.Check(t, func(rt *rapid.T) {
		body := append([]byte(nil), rapid.SampledFrom(seeds).Draw(rt, "seed")...)
		for range rapid.IntRange(0, 4).Draw(rt, "changes") {
			at := rapid.IntRange(0, len(body)-1).Draw(rt, "at")
			switch rapid.IntRange(0, 2).Draw(rt, "how") {
			case 0:
				body[at] = rapid.Byte().Draw(rt, "byte")
			case 1:
				body = append(body[:at], append([]byte{rapid.Byte().Draw(rt, "byte")}, body[at:]...)...)
			case 2:
				body = body[:at+1]
			}
		}
		w.must(w.rdb.HSet(t.Context(), q.Key("t:"+id), "msg", body).Err())
		_, err := w.insp.GetTaskInfo("default", id)
		if _, ok := readMessage(body); ok != (err == nil) {
			rt.Fatalf("of %x Asynq says %v, we say %v", body, err, ok)
		}
	})
}
