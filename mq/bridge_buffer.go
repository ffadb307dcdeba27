package mq

import (
	"context"
	"sync"
)

// bridgeMessage is what came from one of a bridge's channels.
type bridgeMessage struct {
	channel int
	body    []byte
}

// bridgeBuffer is what was received and is not stored yet. A full one makes its
// writer wait.
type bridgeBuffer struct {
	most, mostBytes int

	mu     sync.Mutex
	items  []bridgeMessage
	bytes  int
	closed bool
	some   chan struct{} // holds a token while there may be something to take
	room   chan struct{} // holds a token while there may be room
	ended  chan struct{} // closed by close
}

func newBridgeBuffer(most, mostBytes int) *bridgeBuffer {
	return &bridgeBuffer{
		most: most, mostBytes: mostBytes,
		some: make(chan struct{}, 1), room: make(chan struct{}, 1), ended: make(chan struct{}),
	}
}

func hint(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// put waits for room, unless ctx ends: then it takes the message all the same,
// because it cannot be given back.
func (b *bridgeBuffer) put(ctx context.Context, m bridgeMessage) {
	for !b.tryPut(m, ctx.Err() != nil) {
		select {
		case <-b.room:
		case <-ctx.Done():
		}
	}
}

func (b *bridgeBuffer) tryPut(m bridgeMessage, anyway bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !anyway && len(b.items) > 0 && (len(b.items) >= b.most || b.bytes+len(m.body) > b.mostBytes) {
		return false
	}
	b.items = append(b.items, m)
	b.bytes += len(m.body)
	hint(b.some)
	return true
}

// take waits for messages and gives the oldest, n at most. It gives none when ctx
// has ended, or the buffer is closed and empty.
func (b *bridgeBuffer) take(ctx context.Context, n int) []bridgeMessage {
	for {
		if ctx.Err() != nil {
			return nil
		}
		got, over := b.tryTake(n)
		if len(got) > 0 || over {
			return got
		}
		select {
		case <-b.some:
		case <-b.ended:
		case <-ctx.Done():
		}
	}
}

func (b *bridgeBuffer) tryTake(n int) (got []bridgeMessage, over bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n = min(n, len(b.items))
	got = append(got, b.items[:n]...)
	clear(b.items[:n]) // bodies must not live on below the slice
	if b.items = b.items[n:]; len(b.items) == 0 {
		b.items = nil
	} else {
		hint(b.some)
	}
	for _, m := range got {
		b.bytes -= len(m.body)
	}
	if n > 0 {
		hint(b.room)
	}
	return got, b.closed && len(b.items) == 0
}

// close lets take end once the buffer is empty.
func (b *bridgeBuffer) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	close(b.ended)
}

// rest takes what nobody will take any more.
func (b *bridgeBuffer) rest() []bridgeMessage {
	b.mu.Lock()
	defer b.mu.Unlock()
	rest := b.items
	b.items, b.bytes = nil, 0
	return rest
}
