package evaluation_test

import (
	"fmt"

	"evalq/internal/evaluation"
)

func ExampleParseInterview() {
	in, err := evaluation.ParseInterview([]byte(`{"user_id": 7, "report_id": 42, "answers": [
		{"question": "What is a mutex for?", "key_points": [{"text": "one at a time"}]}]}`))
	fmt.Println(in.Language, in.Answers[0].DialogID, in.Answers[0].Difficulty, in.Answers[0].KeyPoints[0].ID, err)

	_, err = evaluation.ParseInterview([]byte(`{"user_id": 7, "report_id": 42, "answers": [
		{"question": "What is a mutex for?", "key_points": [{"text": "one at a time", "weight": 0}]}]}`))
	fmt.Println(err)
	// Output:
	// en 1 3 p1 <nil>
	// answers[0].key_points[0].weight: must be above 0
}
