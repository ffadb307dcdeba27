package evaluation

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/bytedance/sonic"

	"ai-eino-interview-agent/internal/model"
)

// GenerateAnswerRecordEvaluation evaluates each answer and stores what comes out.
func GenerateAnswerRecordEvaluation(ctx context.Context, userId uint, reportId uint64) (*model.AnswerReport, error) {
	timeoutCtx, cancel := context.WithTimeout(ctx, 300*time.Second)
	defer cancel()

	lastMessage, err := ask(timeoutCtx, "answers", userId, reportId)
	if err != nil {
		return nil, err
	}
	report := buildAnswerReportResponse(lastMessage, userId, reportId)

	if err := saveAnswerReportToDatabase(ctx, report); err != nil {
		log.Printf("Warning: Failed to save answer report: %v", err)
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
