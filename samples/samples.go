// Package samples holds interviews to try evalq with, in Chinese and English,
// on Go, Redis, MySQL and message queues. The files in interviews are exactly
// what PUT /v1/interviews/{report_id} takes.
//
// Two of them do not end in a report, on purpose: report 5009 has questions
// with neither a reference nor key points, so that the offline judge cannot
// score it until the key points are added; report 5010 was broken off before
// anything was answered and is skipped. Report 5008 is measured against prose
// references and has one question that cannot be scored, so its result is
// partial and says so.
package samples

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"

	"evalq/internal/evaluation"
)

//go:embed bank.json key_points.json interviews/*.json
var files embed.FS

// The reports that differ from the others.
const (
	ReportNotAssessable int64 = 5009
	ReportUnanswered    int64 = 5010
)

// Question is a question of the bank with three answers to it, of which a judge
// should prefer the first to the second and the second to the third.
type Question struct {
	ID         string                `json:"id"`
	Language   string                `json:"language"`
	Topic      string                `json:"topic"`
	Difficulty int                   `json:"difficulty"`
	Question   string                `json:"question"`
	Reference  string                `json:"reference"`
	KeyPoints  []evaluation.KeyPoint `json:"key_points"`
	Strong     string                `json:"strong"`
	Partial    string                `json:"partial"`
	OffTopic   string                `json:"off_topic"`
}

// Input puts an answer to the question before a judge.
func (q Question) Input(answer string) evaluation.Input {
	return evaluation.Input{Language: q.Language, Answer: evaluation.Answer{
		DialogID: q.ID, Topic: q.Topic, Difficulty: q.Difficulty,
		Question: q.Question, Answer: answer, Reference: q.Reference, KeyPoints: q.KeyPoints,
	}}
}

// All gives every interview in the order of report ids.
func All() ([]evaluation.Interview, error) {
	names, err := fs.Glob(files, "interviews/*.json")
	if err != nil {
		return nil, fmt.Errorf("samples: list: %w", err)
	}
	out := make([]evaluation.Interview, 0, len(names))
	for _, name := range names {
		in, err := read(name)
		if err != nil {
			return nil, err
		}
		out = append(out, in)
	}
	return out, nil
}

func read(name string) (evaluation.Interview, error) {
	b, err := files.ReadFile(name)
	if err != nil {
		return evaluation.Interview{}, fmt.Errorf("samples: read %q: %w", name, err)
	}
	in, err := evaluation.ParseInterview(b)
	if err != nil {
		return in, fmt.Errorf("samples: read %q: %w", name, err)
	}
	return in, nil
}

// NotAssessable gives the interview whose questions have neither a reference nor
// key points.
func NotAssessable() (evaluation.Interview, error) {
	return read(path.Join("interviews", fmt.Sprintf("%d.json", ReportNotAssessable)))
}

// NotAssessableWithKeyPoints gives the same interview after somebody has written
// the key points down: it can be scored.
func NotAssessableWithKeyPoints() (evaluation.Interview, error) {
	in, err := NotAssessable()
	if err != nil {
		return in, err
	}
	points := map[string][]evaluation.KeyPoint{}
	if err := decode("key_points.json", &points); err != nil {
		return in, err
	}
	for i := range in.Answers {
		in.Answers[i].KeyPoints = points[in.Answers[i].DialogID]
	}
	b, err := json.Marshal(in)
	if err != nil {
		return in, fmt.Errorf("samples: add key points: %w", err)
	}
	if in, err = evaluation.ParseInterview(b); err != nil {
		return in, fmt.Errorf("samples: add key points: %w", err)
	}
	return in, nil
}

// Bank gives all questions.
func Bank() ([]Question, error) {
	var out []Question
	err := decode("bank.json", &out)
	return out, err
}

func decode(name string, v any) error {
	b, err := files.ReadFile(name)
	if err != nil {
		return fmt.Errorf("samples: read %q: %w", name, err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("samples: read %q: %w", name, err)
	}
	return nil
}
