package redistest

import "testing"

func TestProxyLosesAReplyAndNotItsRequest(t *testing.T) {
	t.Parallel()
	s := Start(t)
	p := NewProxy(t, s)
	c := p.Client(t)
	if err := c.Set(t.Context(), "a", "1", 0).Err(); err != nil {
		t.Fatal(err)
	}
	lost := p.LoseReply("INCR", ":2")
	if n, err := c.Do(t.Context(), "INCR", "a").Int(); err != nil || n != 3 {
		t.Fatalf("the client, which asks again, got %d, %v", n, err)
	}
	p.Await(lost)
	if n, err := c.Do(t.Context(), "INCR", "a").Int(); err != nil || n != 4 {
		t.Fatalf("afterwards: %d, %v", n, err)
	}
}
