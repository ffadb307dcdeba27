package evaluation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/bytedance/sonic"

	"ai-eino-interview-agent/internal/model"

	"evalq/tasks"
	"evalq/worker"
)

// Response is what the model says of a whole interview.
type Response struct {
	Comment    string                       `json:"comment"`
	Dimensions []*model.EvaluationDimension `json:"dimensions"`
}

// GenerateRecordEvaluation evaluates an interview and stores what comes out.
func GenerateRecordEvaluation(ctx context.Context, userId uint, reportId uint64) (*Response, error) {
	timeoutCtx, cancel := context.WithTimeout(ctx, 120*time.Second)
	defer cancel()

	text, err := worker.Checkpoint(timeoutCtx, "evaluation", func(ctx context.Context) (json.RawMessage, error) {
		lastMessage, err := ask(ctx, "evaluation", userId, reportId)
		if err != nil {
			return nil, err
		}
		return usable(buildEvaluationResponse(lastMessage))
	})
	if err != nil {
		return nil, err
	}
	records := &Response{}
	if err := sonic.Unmarshal(text, records); err != nil {
		return nil, err
	}

	if err := saveEvaluationToDatabase(ctx, userId, reportId, records); err != nil {
		return nil, err
	}
	return records, nil
}

// buildEvaluationResponse reads what the model said.
func buildEvaluationResponse(agentResponse string) *Response {
	response := &Response{}
	if err := sonic.UnmarshalString(agentResponse, response); err != nil {
		log.Printf("the model's answer is no evaluation: %v", err)
	}
	return response
}

// usable keeps an answer of the model that is none from being stored.
func usable(response *Response) (json.RawMessage, error) {
	if len(response.Dimensions) == 0 {
		return nil, tasks.NewError(tasks.ClassInvalidOutput, errors.New("the model's answer has no dimensions"))
	}
	return sonic.Marshal(response)
}

func saveEvaluationToDatabase(_ context.Context, userId uint, reportId uint64, response *Response) error {
	var totalScore float64
	for _, dim := range response.Dimensions {
		totalScore += dim.Score / float64(len(response.Dimensions))
	}
	err := model.InterviewEvaluationDao.CreateEvaluation(&model.InterviewEvaluation{
		UserID: userId, ReportID: reportId, Comment: response.Comment, Score: totalScore, Dimensions: response.Dimensions,
	})
	if err != nil {
		return fmt.Errorf("failed to save evaluation: %w", err)
	}
	return nil
}
