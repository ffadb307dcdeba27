package mq

import (
	"errors"
	"reflect"

	"evalq/tasks"
)

var (
	errNilContext = &tasks.InvalidError{Err: errors.New("the context is nil")}
	errNilQueue   = errors.New("the queue is nil")
)

// isNil also finds a nil pointer in an interface.
func isNil(v any) bool {
	r := reflect.ValueOf(v)
	return !r.IsValid() || r.Kind() == reflect.Pointer && r.IsNil()
}

// usable refuses what no method of a queue can work with.
func usable(ctx any, queue any) error {
	switch {
	case isNil(queue):
		return errNilQueue
	case isNil(ctx):
		return errNilContext
	}
	return nil
}
