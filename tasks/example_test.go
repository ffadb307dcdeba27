package tasks_test

import (
	"errors"
	"fmt"
	"time"

	"evalq/tasks"
)

func ExampleParse() {
	p, err := tasks.Parse(tasks.KindEvaluationReport, []byte(`{"user_id": 9007199254740993, "report_id": 42}`))
	fmt.Println(p, err)

	text, _ := tasks.Encode(p)
	fmt.Println(string(text))

	_, err = tasks.Parse(tasks.KindEvaluationReport, []byte(`{"user_id": 1e3, "report_id": 42}`))
	fmt.Println(err)
	// Output:
	// {9007199254740993 42} <nil>
	// {"user_id":9007199254740993,"report_id":42}
	// user_id: must be a whole number from 1 to 9223372036854775807, written with digits only
}

func ExampleNewError() {
	// What a handler returns when the model's provider answered 429.
	err := fmt.Errorf("ask model: %w", &tasks.Error{Class: tasks.ClassRateLimited, After: 20 * time.Second, Err: errors.New("429")})

	fmt.Println(tasks.ClassOf(err), tasks.IsPermanent(err), tasks.RetryAfter(err))
	fmt.Println(tasks.ClassOf(err).Sentence("en", false))
	// Output:
	// rate_limited false 20s
	// Many evaluations are being made; yours goes on shortly and you need not do anything.
}
