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

// GenerateAnswerRecordEvaluation evaluates each answer and stores what comes out.
func GenerateAnswerRecordEvaluation(ctx context.Context, userId uint, reportId uint64) (*model.AnswerReport, error) {
	timeoutCtx, cancel := context.WithTimeout(ctx, 300*time.Second)
	defer cancel()

	text, err := worker.Checkpoint(timeoutCtx, "answers", func(ctx context.Context) (json.RawMessage, error) {
		lastMessage, err := ask(ctx, "answers", userId, reportId)
		if err != nil {
			return nil, err
		}
		report := buildAnswerReportResponse(lastMessage, userId, reportId)
		if len(report.Records) == 0 {
			return nil, tasks.NewError(tasks.ClassInvalidOutput, errors.New("the model's answer has no records"))
		}
		return sonic.Marshal(report)
	})
	if err != nil {
		return nil, err
	}
	report := &model.AnswerReport{}
	if err := sonic.Unmarshal(text, report); err != nil {
		return nil, err
	}

	if err := saveAnswerReportToDatabase(ctx, report); err != nil {
		return nil, err
	}
	return report, nil
}

// buildAnswerReportResponse reads what the model said.
func buildAnswerReportResponse(agentResponse string, userId uint, reportId uint64) *model.AnswerReport {
	report := &model.AnswerReport{UserID: userId, ReportID: reportId}
	if err := sonic.UnmarshalString(agentResponse, report); err != nil {
		log.Printf("the model's answer is no evaluation: %v", err)
	}
	return report
}

func saveAnswerReportToDatabase(_ context.Context, report *model.AnswerReport) error {
	if err := model.AnswerReportDao.CreateReport(report); err != nil {
		return fmt.Errorf("failed to save answer report: %w", err)
	}
	return nil
}
