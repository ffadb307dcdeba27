package evaluation

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/bytedance/sonic"

	"ai-eino-interview-agent/internal/model"
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

	lastMessage, err := ask(timeoutCtx, "evaluation", userId, reportId)
	if err != nil {
		return nil, err
	}
	records := buildEvaluationResponse(lastMessage)

	if err := saveEvaluationToDatabase(ctx, userId, reportId, records); err != nil {
		log.Printf("Warning: Failed to save evaluation: %v", err)
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
