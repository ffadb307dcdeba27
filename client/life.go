package client

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"evalq/tasks"
)

var (
	errNilContext = &tasks.InvalidError{Err: errors.New("the context is nil")}
	errNotOpened  = errors.New("there is no client: make one with client.Open")
)

// life is that of a Client, from Open to Close.
type life struct {
	ended context.Context
	end   context.CancelFunc
	once  sync.Once
	err   error
}

func newLife() *life {
	l := &life{}
	l.ended, l.end = context.WithCancel(context.Background())
	return l
}

// close ends all calls and releases once what they used. Every caller returns after
// that.
func (l *life) close(release func() error) error {
	l.once.Do(func() {
		l.end()
		l.err = release()
	})
	return l.err
}

// begin gives the context of one call, which ends with the Client. The caller calls
// done at the end.
func (c *Client) begin(ctx context.Context, doing string) (call context.Context, done context.CancelFunc, err error) {
	switch {
	case c == nil || c.life == nil:
		return nil, nil, fmt.Errorf("client: %s: %w", doing, errNotOpened)
	case ctx == nil:
		return nil, nil, fmt.Errorf("client: %s: %w", doing, errNilContext)
	case c.life.ended.Err() != nil:
		return nil, nil, fmt.Errorf("client: %s: %w", doing, ErrClosed)
	}
	call, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.life.ended, func() { cancel(ErrClosed) })
	return call, func() {
		stop()
		cancel(nil)
	}, nil
}

// isNil also finds a nil pointer in an interface.
func isNil(v any) bool {
	r := reflect.ValueOf(v)
	return !r.IsValid() || r.Kind() == reflect.Pointer && r.IsNil()
}
